"""What a corpus teaches about its own labels: which words go with a label, and which lines say the same thing.

A row's *kind* is its intent with the slot values that the command does not spell out; its *shape* adds the slots
that it does spell out. Rows of one shape differ in copied values only, so the values of one can be put into another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from edgellm.data.corpus import Row

WORD = re.compile(r"[a-z0-9']+")
FEW = 0.002  # words in a smaller share of a kind's lines are left out: remains of values
COPY_MARKS = 0xE000  # private-use characters that stand for values
NUMBER_WORDS = frozenset(
    (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
        *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "half"),
    )
)


def words(text: str) -> list[str]:
    """Lower-case words and numbers in order, without punctuation."""
    return WORD.findall(text.lower())


def numbers(text: str) -> list[str]:
    """Digits and number words, sorted."""
    return sorted(word for word in words(text) if word.isdigit() or word in NUMBER_WORDS)


def occurrences(value: str, text: str) -> int:
    """How often `value` stands in `text` as whole words."""
    return len(re.findall(_whole(value), text))


def _whole(value: str) -> str:
    return rf"(?<!\w){re.escape(value)}(?!\w)"


@dataclass(frozen=True)
class Command:
    """A corpus row taken apart."""

    text: str  # lower case, no final punctuation
    target: str
    reply: str
    intent: str
    slots: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, row: Row) -> Command:
        """From `(command, "Intent key= value ...", reply)`."""
        intent, _, rest = row[1].partition(" ")
        slots = re.findall(r"(\w+)= (.*?)(?= \w+= |$)", rest)
        return cls(row[0].lower().rstrip(".?! "), row[1], row[2], intent, tuple(slots))

    @cached_property
    def copied(self) -> dict[str, str]:
        """Slots whose value stands word for word in the command."""
        return {key: value for key, value in self.slots if occurrences(value, self.text)}

    @cached_property
    def kind(self) -> tuple[str, ...]:
        """Intent and the slots that are not copied; without copied slots the reply, which may depend on the words."""
        closed = tuple(f"{key}={value}" for key, value in self.slots if key not in self.copied)
        return (self.intent, *closed, *(() if self.copied else (self.reply,)))

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """What the words around a copied value depend on: the noun of a name, singular one, floors without article."""
        return tuple(_form(key, value) for key, value in self.copied.items())

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """Kind, copied slots and their forms."""
        return (*self.kind, *self.copied, *self.forms)

    @cached_property
    def marked(self) -> str | None:
        """The text with a mark for each copied value; None when a value stands there twice or inside another."""
        return marked(self.text, self.copied)

    def spoken_as(self, pattern: str) -> str:
        """A marked text of the same shape with this row's values."""
        return filled(pattern, self.copied)


def _form(key: str, value: str) -> str:
    if key == "name":
        return value.split(" ")[-1]
    if key == "floor" and " " not in value:
        return value
    return "1" if value == "1" else ""


def marked(text: str, values: dict[str, str]) -> str | None:
    """`text` with every value replaced by the mark of its slot; None when one does not occur exactly once."""
    for place, (_, value) in sorted(enumerate(values.items()), key=lambda item: -len(item[1][1])):
        text, count = re.subn(_whole(value), chr(COPY_MARKS + place), text)
        if count != 1:
            return None
    return text


def filled(pattern: str, values: dict[str, str]) -> str:
    """The opposite of `marked`."""
    for place, value in enumerate(values.values()):
        pattern = pattern.replace(chr(COPY_MARKS + place), value)
    return pattern


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of each kind outside copied values, and how many lines of the corpus hold each word."""

    by_kind: dict[tuple[str, ...], frozenset[str]]
    by_intent: dict[str, frozenset[str]]
    lines_with: Counter[str]

    @classmethod
    def of(cls, commands: Iterable[Command]) -> Lexicon:
        """Count the words of all commands."""
        lines: Counter[tuple[str, ...]] = Counter()
        counts: dict[tuple[str, ...], Counter[str]] = {}
        everywhere: Counter[str] = Counter()
        for command in commands:
            lines[command.kind] += 1
            everywhere.update({*words(command.text)})
            if command.marked is not None:
                counts.setdefault(command.kind, Counter()).update({*words(command.marked)})
        by_kind = {kind: _frequent(count, FEW * lines[kind]) for kind, count in counts.items()}
        intents = {kind[0] for kind in by_kind}
        by_intent = {
            intent: frozenset().union(*(known for kind, known in by_kind.items() if kind[0] == intent))
            for intent in intents
        }
        return cls(by_kind, by_intent, everywhere)


def _frequent(count: Counter[str], least: float) -> frozenset[str]:
    return frozenset(word for word, lines in count.items() if lines >= least and not numbers(word))
