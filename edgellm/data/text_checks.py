"""Checks of a short text that a teacher wrote: form, names, subject, repetition; every rejection has a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PLAIN = re.compile(r"[A-Za-z0-9 ,.!?'\";:-]+")
SENTENCE = re.compile(r"[^.!?]+[.!?]+[\"']?")
WORD = re.compile(r"[A-Za-z']+")
WIDEST = 600  # characters
ALWAYS_CAPITAL = frozenset(("I", "I'm", "I'll", "I've", "I'd"))
SHARED_SENTENCES = 0.5  # of a text, with texts kept before
LOOP = 5  # words in a row that may not come twice


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan asks of its texts."""

    names: frozenset[str]  # the only proper names allowed
    shortest: int  # sentences
    longest: int


class TextChecks:
    """Remembers the sentences of the texts it has passed."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.seen: set[str] = set()

    def reason(self, text: str, subjects: Sequence[str]) -> str | None:
        """Why `text` is not a sound text about the subjects, or None when it passes; it is then remembered."""
        sentences = [sentence.strip() for sentence in SENTENCE.findall(text)]
        reason = self._form(text, sentences) or self._subject(text, sentences, subjects)
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
        if not self.rules.shortest <= len(sentences) <= self.rules.longest or len(text) > WIDEST:
            return "too short or too long"
        if len({sentence.lower() for sentence in sentences}) < len(sentences) or _loops(text):
            return "repeats itself"
        return None

    def _subject(self, text: str, sentences: list[str], subjects: Sequence[str]) -> str | None:
        """Each subject is there by its last word, and no name that the plan does not know."""
        said = text.lower()
        if not all(subject.lower().split()[-1].rstrip("s") in said for subject in subjects):
            return "not about the subject"
        inside = {word for sentence in sentences for word in WORD.findall(_after_opening(sentence))}
        capital = {word for word in inside if word[0].isupper()} - ALWAYS_CAPITAL
        return "other names" if {word.removesuffix("'s") for word in capital} - self.rules.names else None


def _after_opening(sentence: str) -> str:
    """The sentence without the words that are capital because speech or the sentence begins with them."""
    sentence = re.sub(r"\"\s*[A-Z]", '"', sentence)
    return re.sub(r"^\W*\w+", "", sentence)


def _loops(text: str) -> bool:
    """True when some run of words occurs twice."""
    said = WORD.findall(text.lower())
    runs = [tuple(said[start : start + LOOP]) for start in range(len(said) - LOOP + 1)]
    return len({*runs}) < len(runs)


def rare_words(lines: Iterable[str], least: int) -> set[str]:
    """Lower-case words that occur in fewer than `least` lines."""
    count = Counter(word for line in lines for word in {*re.findall(r"[a-z']+", line.lower())})
    return {word for word, number in count.items() if number < least}
