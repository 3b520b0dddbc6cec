"""Checks of a short text that a teacher wrote: form, names, repetition; every rejection has a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

PLAIN = re.compile(r"[A-Za-z0-9 ,.!?'\";:-]+")
SENTENCE = re.compile(r"[^.!?]+[.!?]+[\"']?")
LETTERS = re.compile(r"[A-Za-z']+")
SHORTEST, LONGEST = 3, 8  # sentences
WIDEST = 600  # characters
ALWAYS_CAPITAL = frozenset(("I", "I'm", "I'll", "I've", "I'd"))
SHARED_SENTENCES = 0.5  # of a text, with texts kept before


class TextChecks:
    """Remembers the sentences of the texts it has passed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        self.seen: set[str] = set()

    def reason(self, text: str, title: str) -> str | None:
        """Why `text` is not a sound text for the title, or None when it passes; it is then remembered."""
        sentences = [sentence.strip() for sentence in SENTENCE.findall(text)]
        reason = self._form(text, sentences) or self._people(text, sentences, title)
        if reason is None:
            old = sum(sentence.lower() in self.seen for sentence in sentences)
            if old > SHARED_SENTENCES * len(sentences):
                return "like a text before"
            self.seen.update(sentence.lower() for sentence in sentences)
        return reason

    def _form(self, text: str, sentences: list[str]) -> str | None:
        if not PLAIN.fullmatch(text):
            return "not plain ASCII"
        if not re.search(r"[.!?][\"']?$", text) or not text[0].isupper() or text.count('"') % 2:
            return "incomplete sentences"
        if not SHORTEST <= len(sentences) <= LONGEST or len(text) > WIDEST:
            return "too short or too long"
        if len({sentence.lower() for sentence in sentences}) < len(sentences) or _loops(text):
            return "repeats itself"
        return None

    def _people(self, text: str, sentences: list[str], title: str) -> str | None:
        """Names in the title must act, and nobody else may have a name."""
        wanted = {word for word in LETTERS.findall(title) if word in self.names}
        said = set(LETTERS.findall(text.replace("'s", "")))
        if not wanted <= said:
            return "somebody of the title is missing"
        inside = {word for sentence in sentences for word in LETTERS.findall(_after_opening(sentence))}
        strangers = {word for word in inside if word[0].isupper()} - ALWAYS_CAPITAL
        return "other names" if {word.removesuffix("'s") for word in strangers} - self.names else None


def _after_opening(sentence: str) -> str:
    """The sentence without the words that are capital because speech or the sentence begins with them."""
    sentence = re.sub(r"\"\s*[A-Z]", '"', sentence)
    return re.sub(r"^\W*\w+", "", sentence)


def _loops(text: str, size: int = 5) -> bool:
    """True when some run of `size` words occurs twice."""
    said = LETTERS.findall(text.lower())
    runs = [tuple(said[start : start + size]) for start in range(len(said) - size + 1)]
    return len({*runs}) < len(runs)


def rare_words(lines: Iterable[str], least: int) -> set[str]:
    """Lower-case words that occur in fewer than `least` lines."""
    count = Counter(word for line in lines for word in {*re.findall(r"[a-z']+", line.lower())})
    return {word for word, number in count.items() if number < least}
