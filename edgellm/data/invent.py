"""Invented words: pronounceable syllables, and letter chains that look like English words without being any."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

BARE_START_SHARE = 0.2  # of syllable words begin with a vowel
CODA_SHARE = 0.7
START, END = "^", "$"
SHORTEST, LONGEST = 3, 11


def syllables(lists: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """One to three syllables from the lists `onsets`, `vowels` and `codas`."""
    parts = [
        rng.choice(lists["onsets"]) + rng.choice(lists["vowels"]) for _ in range(rng.choice((1, 2, 2, 3)))
    ]
    if rng.random() < BARE_START_SHARE:
        parts[0] = rng.choice(lists["vowels"]) + rng.choice(lists["codas"])
    return "".join(parts) + (rng.choice(lists["codas"]) if rng.random() < CODA_SHARE else "")


class Chain:
    """A letter chain of order two over a word list (Shannon 1948): every three letters of its words occur in the list."""

    def __init__(self, words: Sequence[str]) -> None:
        self._known = frozenset(words)
        self._next: dict[str, list[str]] = defaultdict(list)
        for word in words:
            letters = START * 2 + word + END
            for index in range(2, len(letters)):
                self._next[letters[index - 2 : index]].append(letters[index])

    def draw(self, rng: random.Random) -> str:
        """A word of 3 to 11 letters that is not in the list."""
        while True:
            word = self._walk(rng)
            if SHORTEST <= len(word) <= LONGEST and word not in self._known:
                return word

    def _walk(self, rng: random.Random) -> str:
        letters = START * 2
        while letters[-1] != END and len(letters) < LONGEST + 3:
            letters += rng.choice(self._next[letters[-2:]])
        return letters[2:].rstrip(END)
