"""What a teacher is shown: corpus lines of one label with the same values, and the like of the nearest other labels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from edgellm.data.lexicon import Command, Lexicon, words

RARE = 0.0003  # a value word in a smaller share of the lines is too odd to show
LONGEST = 13  # words of a line that is shown
FEWEST = 3  # lines that make a list
RIVAL_LINES = 4  # of the list of another label

Kind = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus line and the lists to judge paraphrases by; all lines hold the values of `command`."""

    command: Command
    shown: tuple[str, ...]  # lines of the same label, the command itself last
    rivals: tuple[tuple[str, ...], ...]  # lists of other labels


class Sources:
    """Picks lines and builds their lists; the same seed gives the same ones."""

    def __init__(self, commands: Sequence[Command], lexicon: Lexicon, seed: int) -> None:
        self.commands, self.lexicon = commands, lexicon
        self.rng = random.Random(seed)
        self.patterns: dict[tuple[str, ...], dict[str, None]] = {}  # distinct, in order
        self.same_shape: dict[tuple[str, ...], list[Command]] = {}
        self.slots: dict[Kind, dict[tuple[str, ...], list[tuple[str, ...]]]] = {}  # kind -> slots -> shapes
        for command in commands:
            if command.marked is not None:
                self._note(command, command.marked)

    def _note(self, command: Command, pattern: str) -> None:
        if command.shape not in self.patterns:
            shapes = self.slots.setdefault(command.kind, {}).setdefault(tuple(command.copied), [])
            shapes.append(command.shape)
        self.patterns.setdefault(command.shape, {})[pattern] = None
        self.same_shape.setdefault(command.shape, []).append(command)

    def choose(self, per_intent: int, shown: int, rivals: int) -> list[Source]:
        """The first source of each intent, then the second of each, and so on; of as many shapes as there are."""
        usable = [command for command in self.commands if self._usable(command)]
        self.rng.shuffle(usable)
        by_intent: dict[str, list[Command]] = {}
        for command in usable:
            by_intent.setdefault(command.intent, []).append(command)
        columns = [_varied(by_intent[intent])[:per_intent] for intent in sorted(by_intent)]
        order = [command for rank in zip_longest(*columns) for command in rank if command is not None]
        return [self._source(command, shown, rivals) for command in order]

    def others(self, source: Source, count: int) -> list[Command]:
        """Rows of the same shape with other values."""
        rows = [row for row in self.same_shape[source.command.shape] if row.copied != source.command.copied]
        return self.rng.sample(rows, min(count, len(rows)))

    def _usable(self, command: Command) -> bool:
        if command.marked is None or len(self.patterns[command.shape]) < FEWEST:
            return False
        least = RARE * len(self.commands)
        values = words(" ".join(command.copied.values()))
        common = all(word.isdigit() or self.lexicon.lines_with[word] >= least for word in values)
        return common and len(words(command.text)) <= LONGEST

    def _source(self, command: Command, shown: int, rivals: int) -> Source:
        own = [line for line in self._lines(command.shape, command, shown) if line != command.text]
        lists = [self._lines(shape, command, RIVAL_LINES) for shape in self._rivals(command)]
        fitting = [tuple(lines) for lines in lists if len(lines) >= FEWEST][:rivals]
        return Source(command, (*own[: shown - 1], command.text), tuple(fitting))

    def _lines(self, shape: tuple[str, ...], command: Command, count: int) -> list[str]:
        """Up to `count` different short lines of a shape with the values of `command`."""
        lines = dict.fromkeys(command.spoken_as(pattern) for pattern in self.patterns[shape])
        short = [line for line in lines if len(words(line)) <= LONGEST]
        return self.rng.sample(short, min(count, len(short)))

    def _rivals(self, command: Command) -> list[tuple[str, ...]]:
        """Shapes of other kinds with the same slots, the kinds that share most words first, one an intent."""
        slots = tuple(command.copied)
        kinds = [kind for kind, by_slots in self.slots.items() if kind != command.kind and slots in by_slots]
        kinds.sort(key=lambda kind: -self._likeness(kind, command.kind))
        first = dict.fromkeys(kind[0] for kind in kinds)
        nearest = [next(kind for kind in kinds if kind[0] == intent) for intent in first]
        return [self._nearest_shape(self.slots[kind][slots], command) for kind in nearest]

    def _likeness(self, one: Kind, other: Kind) -> float:
        a, b = self.lexicon.by_kind[one], self.lexicon.by_kind[other]
        return len(a & b) / max(len(a | b), 1)

    def _nearest_shape(self, shapes: list[tuple[str, ...]], command: Command) -> tuple[str, ...]:
        """The shape whose values have the same forms, or the one with most lines."""
        forms = command.forms
        same = [shape for shape in shapes if shape[-len(forms) :] == forms] if forms else shapes
        return max(same or shapes, key=lambda shape: len(self.patterns[shape]))


def _varied(commands: list[Command]) -> list[Command]:
    """The same commands: the first of each shape, then the second of each, and so on."""
    seen: dict[tuple[str, ...], int] = {}
    ranked = []
    for command in commands:
        seen[command.shape] = seen.get(command.shape, 0) + 1
        ranked.append((seen[command.shape], command))
    return [command for _, command in sorted(ranked, key=lambda pair: pair[0])]
