"""Your own corpus: what a recipe says of it, and the records that training and evaluation read.

The corpus stage checks the sources once (`edgellm.data.own`) and leaves two files in the run folder's `corpus/`:

| file | a line |
|---|---|
| train.jsonl, valid.jsonl | `{"prompt": ..., "completion": ...}`, and `"ends": false` where a document goes on in the next line |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from edgellm.errors import TrainingError
from edgellm.manifest import Prompt

TRAIN, VALID = "train", "valid"
SEPARATORS = ("line", "blank_line")


class Record(NamedTuple):
    """What the model is asked and what it is to say; `ends` is false for a piece of a text that goes on."""

    prompt: str
    completion: str
    ends: bool = True


@dataclass(frozen=True, slots=True)
class OwnCorpus:
    """The `[corpus]` table of both kinds; paths are relative to the recipe.

    Without `valid`, records are held out by a hash of the prompt: `valid_share` of them, at most about `valid_bytes`.
    """

    template: ClassVar[str]

    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    valid_share: float = 0.05
    valid_bytes: int = 200_000
    drop_bad_lines: bool = False
    special_tokens: tuple[str, ...] = ()
    normalise: tuple[str, ...] = ("strip_spaces",)
    licence: str = ""

    @property
    def framing(self) -> Prompt:
        """How a prompt is put to the model, in training as at run time."""
        return Prompt(self.template, self.normalise)


@dataclass(frozen=True, slots=True)
class JsonlCorpus(OwnCorpus):
    """Lines `{"prompt": ..., "completion": ...}`: the model answers."""

    template: ClassVar[str] = "<s> {prompt}\t"


@dataclass(frozen=True, slots=True)
class TextCorpus(OwnCorpus):
    """Plain text: the model goes on. `separator` is what stands between documents: `line` or `blank_line`."""

    template: ClassVar[str] = "<s>{prompt}"

    separator: str = "line"


def to_line(record: Record) -> str:
    """A record as a line of train.jsonl or valid.jsonl, with its end."""
    fields: dict[str, object] = {"prompt": record.prompt, "completion": record.completion}
    if not record.ends:
        fields["ends"] = False
    return json.dumps(fields, ensure_ascii=False) + "\n"


def read_split(folder: Path, split: str) -> Iterator[Record]:
    """The records of `train` or `valid` in a run's `corpus/` folder, one by one.

    Raises: TrainingError when the file is missing or a line is damaged.
    """
    path = folder / f"{split}.jsonl"
    if not path.is_file():
        raise TrainingError(f"{path}: no such corpus file; write the corpus first")
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                fields = json.loads(line)
                yield Record(fields["prompt"], fields["completion"], fields.get("ends", True))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TrainingError(f"{path}:{number}: damaged line; write the corpus again") from None


def pairs(folder: Path, split: str) -> list[tuple[str, str]]:
    """(prompt, completion) of every record of a split, for evaluation; a piece of a plain text has the prompt ""."""
    return [(record.prompt, record.completion) for record in read_split(folder, split)]
