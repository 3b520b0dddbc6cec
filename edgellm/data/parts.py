"""Which part of your own corpus a record belongs to: training, validation, or neither."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgellm.data.records import TRAIN, VALID, OwnCorpus, Record
from edgellm.data.sources import Found, Tally, read
from edgellm.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first reading found in the training files: usable records, and the bytes of their text."""

    records: int
    size: int


@dataclass(frozen=True, slots=True)
class Split:
    """Assigns records by what they ask (a plain text by itself), so that equal prompts are never on both sides.

    `share` of the records is held out; with validation files it is 0 and `named` holds what they ask.
    """

    seed: int
    share: float
    named: frozenset[int]

    def part(self, record: Record) -> str | None:
        """`train`, `valid`, or None: a training line whose prompt a validation file has, too."""
        value = _value(self.seed, record)
        if value in self.named:
            return None
        return VALID if value < self.share * 2.0**64 else TRAIN


def survey(corpus: OwnCorpus, tally: Tally) -> Survey:
    """Read the training files once; TrainingError for the first bad line unless the tally drops it, and when none is left."""
    records = size = 0
    for found in read(corpus, corpus.train, tally):
        records += 1
        size += size_of(found.record)
    if not records:
        raise TrainingError(f"{_names(corpus.train)}: no usable line to train on{_dropped(tally)}")
    return Survey(records, size)


def split_of(corpus: OwnCorpus, found: Survey, seed: int) -> Split:
    """The split that a corpus' table asks for."""
    if not corpus.valid:
        return Split(seed, min(corpus.valid_share, corpus.valid_bytes / found.size), frozenset())
    valid = read(corpus, corpus.valid, Tally(corpus.drop_bad_lines))
    return Split(seed, 0.0, frozenset(_value(seed, line.record) for line in valid))


def assigned(corpus: OwnCorpus, split: Split, tally: Tally) -> Iterator[tuple[str | None, Found]]:
    """Every record with its part, validation files last."""
    for found in read(corpus, corpus.train, tally):
        yield split.part(found.record), found
    for found in read(corpus, corpus.valid, tally):
        yield VALID, found


def size_of(record: Record) -> int:
    """Bytes of a record's text."""
    return len(record.prompt.encode()) + len(record.completion.encode())


def _value(seed: int, record: Record) -> int:
    """64 bits that depend on the seed and on what is asked, letter case aside."""
    key = (record.prompt or record.completion).casefold()
    return int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), "big")


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


def _dropped(tally: Tally) -> str:
    return (
        f": {tally.counts.total()} dropped, for example {next(iter(tally.first.values()))}"
        if tally.first
        else ""
    )
