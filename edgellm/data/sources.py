"""From the user's files to records: every line checked, and named with file, line and field when it is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgellm import prompt
from edgellm.data.lines import MOST_LINE, Line, read_lines
from edgellm.data.records import OwnCorpus, Record, TextCorpus
from edgellm.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Found:
    """A record and the place it came from, `file:line`."""

    record: Record
    where: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line cannot be used: a short reason to count by, and the message."""

    reason: str
    message: str


@dataclass(slots=True)
class Tally:
    """Meets bad lines: stops at the first, or counts them by reason and keeps the first message of each."""

    drop: bool
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def bad(self, where: str, problem: Problem) -> None:
        """Raises TrainingError unless bad lines are dropped."""
        message = f"{where}: {problem.message}"
        if not self.drop:
            raise TrainingError(message)
        self.counts[problem.reason] += 1
        self.first.setdefault(problem.reason, message)


def read(corpus: OwnCorpus, paths: Iterable[Path], tally: Tally) -> Iterator[Found]:
    """The records of some of a corpus' files, prompts normalised.

    Raises: TrainingError for a bad line (`file:line: field ...`) unless the tally drops it, or a file that cannot be read.
    """
    for path in paths:
        lines = read_lines(path)
        if isinstance(corpus, TextCorpus) and corpus.separator == "blank_line":
            lines = _documents(lines)
        for line in lines:
            record = _record(corpus, line)
            if isinstance(record, Problem):
                tally.bad(f"{path}:{line.number}", record)
            elif record is not None:
                yield Found(record, f"{path}:{line.number}")


def _record(corpus: OwnCorpus, line: Line) -> Record | Problem | None:
    """None for a blank line."""
    if line.text is None:
        return Problem("unreadable", line.problem)
    if not line.text.strip():
        return None
    if isinstance(corpus, TextCorpus):
        return Record("", line.text.strip())
    return _pair(line.text, corpus.normalise)


def _pair(text: str, rules: Sequence[str]) -> Record | Problem:
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        return Problem("not JSON", f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError):
        return Problem("not JSON", "not JSON: a number or a nesting beyond all bounds")
    if not isinstance(fields, dict):
        return Problem("not JSON", 'not a JSON object: write {"prompt": "...", "completion": "..."}')
    for name in ("prompt", "completion"):
        if message := _wrong(fields, name):
            return Problem(f"field {name}", f"field {name} {message}")
    asked = prompt.normalise(fields["prompt"], rules)
    if not asked.strip():
        return Problem("field prompt", f"field prompt is empty after {', '.join(rules)}")
    return Record(asked, fields["completion"])


def _wrong(fields: dict[str, Any], name: str) -> str:
    """What is wrong with a text field; empty when nothing is."""
    if name not in fields:
        return f"is missing; the line has {', '.join(fields)[:80] or 'no fields'}"
    value = fields[name]
    if not isinstance(value, str):
        return f"must be a string, not {json.dumps(value)[:40]}"
    if not value.strip():
        return "is empty"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half a character, U+{ord(value[error.start]):04X}, at position {error.start}"
    return ""


def _documents(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines joined up to the next blank one, or to `MOST_LINE`; a document with an unusable line is unusable."""
    held: list[Line] = []
    size = 0
    for line in lines:
        if line.text is not None and not line.text.strip():
            yield from _joined(held)
            held, size = [], 0
            continue
        if size + len(line.text or "") > MOST_LINE:
            yield from _joined(held)
            held, size = [], 0
        held.append(line)
        size += len(line.text or "") + 1
    yield from _joined(held)


def _joined(held: Sequence[Line]) -> Iterator[Line]:
    if not held:
        return
    number = held[0].number
    problem = next(
        (f"line {line.number} of the document is {line.problem}" for line in held if line.problem), ""
    )
    text = None if problem else "\n".join(line.text or "" for line in held)
    yield Line(number, text, problem)
