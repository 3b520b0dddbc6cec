"""Brings your own corpus into a run folder: checked, split, tokenizer trained, long texts cut.

The sources are read three times (check and count; tokenizer; encode and write) and never held whole: memory does not grow with
the corpus, beyond what the tokenizer's training takes for at most `SAMPLE_BYTES`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgellm import files, progress
from edgellm.data import records
from edgellm.data.framing import BATCH, Framer, batched, texts
from edgellm.data.parts import Split, Survey, assigned, size_of, split_of, survey
from edgellm.data.pieces import cut
from edgellm.data.records import TRAIN, VALID, OwnCorpus, Record, TextCorpus
from edgellm.data.sources import Found, Problem, Tally
from edgellm.data.tokenizer import train_on_texts
from edgellm.errors import TrainingError

SAMPLE_BYTES = 32 << 20  # of text that the tokenizer is trained on
ABOUT = "corpus.json"
NO_TRAINING = "the training part is empty: every line is held out, or asks what a corpus.valid file asks, too"


@dataclass(slots=True)
class Counts:
    """What was written of one part."""

    lines: int = 0
    tokens: int = 0
    size: int = 0  # bytes of text


def write_corpus(folder: Path, corpus: OwnCorpus, tokenizer: Path, shape: tuple[int, int], seed: int) -> None:
    """Write train.jsonl, valid.jsonl and corpus.json into `folder`; train `tokenizer` unless it is there.

    `shape` is (vocabulary, context) of the model. The same sources, recipe and seed give the same bytes.
    Raises: TrainingError naming file, line and field of a bad line, or when a part would be empty.
    """
    vocab, context = shape
    with progress.track("Reading the corpus") as bar:
        found = survey(corpus, Tally(corpus.drop_bad_lines))
        bar.advance(found.records, lines=found.records, MB=found.size / 1e6)
    split = split_of(corpus, found, seed)
    if not tokenizer.exists():
        train_on_texts(_sample(corpus, split, found), corpus.special_tokens, vocab, tokenizer)
    writer = Writer(corpus, Framer(tokenizer, corpus), context)
    writer.write(folder, split, found.records)
    files.write_text(folder / ABOUT, json.dumps(writer.about() | {"seed": seed}, indent=2) + "\n")


def _sample(corpus: OwnCorpus, split: Split, found: Survey) -> Iterator[str]:
    """Training text for the tokenizer: all of it, or every n-th record so that it stays within `SAMPLE_BYTES`."""
    stride = -(-found.size // SAMPLE_BYTES)
    lines = assigned(corpus, split, Tally(corpus.drop_bad_lines))
    chosen = (found.record for part, found in lines if part == TRAIN)
    number = -1
    for number, record in enumerate(chosen):
        if number % stride == 0:
            yield from texts(corpus, record)
    if number < 0:
        raise TrainingError(NO_TRAINING)


class Writer:
    """Third reading: encodes every record, meets those that are too long, writes the parts and counts."""

    def __init__(self, corpus: OwnCorpus, framer: Framer, context: int) -> None:
        self.corpus, self.framer, self.context = corpus, framer, context
        self.tally = Tally(corpus.drop_bad_lines)
        self.counts = {TRAIN: Counts(), VALID: Counts()}
        self.left_out = 0

    def write(self, folder: Path, split: Split, total: int) -> None:
        """Both parts; TrainingError when one is empty."""
        lines = assigned(self.corpus, split, self.tally)
        with ExitStack() as stack, progress.track("Writing the corpus", total) as bar:
            out = {part: stack.enter_context(_create(folder / f"{part}.jsonl")) for part in self.counts}
            for batch in batched(lines, BATCH):
                for part in self.counts:
                    self._write(part, [found for at, found in batch if at == part], out[part])
                self.left_out += sum(part is None for part, _ in batch)
                bar.advance(len(batch), dropped=self.tally.counts.total())
        self._check()

    def about(self) -> dict[str, Any]:
        """What corpus.json says."""
        paths = (*self.corpus.train, *self.corpus.valid)
        return {
            "sources": [{"name": path.name, "sha256": files.sha256(path)} for path in paths],
            "lines": {part: count.lines for part, count in self.counts.items()},
            "tokens": {part: count.tokens for part, count in self.counts.items()},
            "bytes": {part: count.size for part, count in self.counts.items()},
            "dropped": dict(self.tally.counts),
            "first_dropped": self.tally.first,
            "left_out_of_train": self.left_out,
        }

    def _write(self, part: str, found: Sequence[Found], out: IO[str]) -> None:
        encoded = self.framer.encode([each.record for each in found])
        for each, (ids, prompt) in zip(found, encoded, strict=True):
            if len(ids) <= self.context:
                self._keep(part, each.record, len(ids), out)
            elif isinstance(self.corpus, TextCorpus):
                self._cut(part, each.record, out)
            else:
                self.tally.bad(each.where, _too_long(len(ids), prompt, self.context))

    def _cut(self, part: str, record: Record, out: IO[str]) -> None:
        most = self.context - 2  # start and end token
        pieces = list(cut(record.completion, self.framer.starts, most))
        parts = [Record("", piece, number == len(pieces)) for number, piece in enumerate(pieces, 1)]
        for piece, (ids, _) in zip(parts, self.framer.encode(parts), strict=True):
            self._keep(part, piece, len(ids), out)

    def _keep(self, part: str, record: Record, tokens: int, out: IO[str]) -> None:
        out.write(records.to_line(record))
        count = self.counts[part]
        count.lines, count.tokens, count.size = (
            count.lines + 1,
            count.tokens + tokens,
            count.size + size_of(record),
        )

    def _check(self) -> None:
        if not self.counts[TRAIN].lines:
            raise TrainingError(NO_TRAINING)
        if not self.counts[VALID].lines:
            raise TrainingError(
                f"the validation part is empty: raise corpus.valid_share ({self.corpus.valid_share}), "
                "give more lines, or name a file in corpus.valid"
            )


def _create(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def _too_long(tokens: int, prompt: int, context: int) -> Problem:
    return Problem(
        "too long",
        f"prompt ({prompt}) and completion ({tokens - prompt}) take {tokens} tokens, the context holds {context}: "
        "shorten the line, raise the context of teacher and student, or set corpus.drop_bad_lines = true",
    )
