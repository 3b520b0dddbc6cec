"""Test sets: the shipped ones by name, anyone's own from a file.

| file | a line | what is measured |
|---|---|---|
| .tsv | `command<TAB>Intent key= value ...<TAB>reply`; an empty reply is not judged | intent, slots, reply, loss |
| .jsonl | `{"prompt": "...", "completion": "..."}`, and `"ends": false` where the text goes on | the completion, loss |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgellm import files, resources
from edgellm.errors import ConfigError, UsageError

FOLDER = resources.PACKAGE / "data" / "sets"
LABELS = {
    "heldout": "held-out expansions",
    "templates": "unseen templates",
    "phrasings": "unseen phrasings",
    "values": "unseen slot values",
    "free": "free phrasing",
}
COLUMNS = ("command", "target", "reply")


@dataclass(frozen=True, slots=True)
class Case:
    """One line. `target` is `Intent key= value ...`, or a whole completion in a set of plain text."""

    number: int  # of the line in its file, from 1
    prompt: str
    target: str
    reply: str = ""  # empty: whatever the model replies is not judged
    ends: bool = True  # a completion that does not is judged up to where it stops


@dataclass(frozen=True, slots=True)
class CaseSet:
    """A test set. `commands`: its targets have intents and slots; otherwise they are plain text."""

    name: str
    path: Path
    sha256: str
    cases: tuple[Case, ...]
    commands: bool

    @property
    def label(self) -> str:
        """Name for a reader."""
        return LABELS.get(self.name, self.name)

    @property
    def answers(self) -> bool:
        """Whether any case asks for something: documents without a prompt cannot be guessed, only predicted."""
        return any(case.prompt for case in self.cases)

    def where(self, case: Case) -> str:
        """`file:line`, for messages."""
        return f"{self.path}:{case.number}"

    def sample(self, count: int | None) -> CaseSet:
        """At most `count` cases, evenly spread over the set; all for None."""
        total = len(self.cases)
        if count is None or count >= total:
            return self
        if count < 1:
            raise UsageError(f"the limit of lines must be at least 1, not {count}")
        return replace(self, cases=tuple(self.cases[index * total // count] for index in range(count)))


def available(folder: Path = FOLDER) -> list[str]:
    """Names of the shipped sets, the known ones first."""
    found = {path.stem for path in folder.glob("*.tsv")}
    return [name for name in LABELS if name in found] + sorted(found - set(LABELS))


def shipped(names: Sequence[str], folder: Path = FOLDER) -> list[CaseSet]:
    """Shipped sets by name; UsageError lists what there is."""
    known = available(folder)
    for name in names:
        if name not in known:
            raise UsageError(
                f"test set {name!r} does not exist: choose from {', '.join(known) or '(none is installed)'}"
            )
    return [read(folder / f"{name}.tsv", name) for name in names]


def read(path: Path, name: str | None = None) -> CaseSet:
    """A set from a .tsv or .jsonl file.

    Raises UsageError (no such file, another kind of file), ConfigError with file, line and field (malformed or empty).
    """
    if path.suffix not in _PARSERS:
        raise UsageError(f"{path}: test sets are files that end in {' or '.join(_PARSERS)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such test set")
    parse = _PARSERS[path.suffix]
    cases: list[Case] = []
    for number, line in _lines(path):
        try:
            cases.append(parse(number, line))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
    if not cases:
        raise ConfigError(f"{path}: no lines in it")
    return CaseSet(name or path.name, path, files.sha256(path), tuple(cases), path.suffix == ".tsv")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not blank. Only line feeds end a line, so that any text can be a value."""
    for number, raw in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            raise ConfigError(
                f"{path}:{number}: not UTF-8: byte 0x{byte:02x} at column {error.start + 1}: convert the file to UTF-8"
            ) from None
        if line.strip():
            yield number, line


def _tsv(number: int, line: str) -> Case:
    columns = line.split("\t")
    if len(columns) != len(COLUMNS):
        found = f"{len(columns)} column{'s' * (len(columns) != 1)}"
        raise ValueError(f"{found}, expected {', '.join(COLUMNS)} (the reply may be empty)")
    for name, value in zip(COLUMNS[:2], columns[:2], strict=True):
        if not value.strip():
            raise ValueError(f"column {name} is empty")
    return Case(number, columns[0], columns[1], columns[2])


def _json(number: int, line: str) -> Case:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError('expected an object {"prompt": "...", "completion": "..."}')
    for name in ("prompt", "completion"):
        if not isinstance(value.get(name), str):
            raise ValueError(f"field {name} must be a string")
        if any("\ud800" <= char <= "\udfff" for char in value[name]):
            raise ValueError(f"field {name} has half a surrogate pair: it is not Unicode text")
    if not value["completion"]:
        raise ValueError("field completion is empty: there is nothing to expect")
    if not isinstance(ends := value.get("ends", True), bool):
        raise ValueError("field ends must be true or false")
    return Case(number, value["prompt"], value["completion"], ends=ends)


_PARSERS: dict[str, Callable[[int, str], Case]] = {".tsv": _tsv, ".jsonl": _json}
