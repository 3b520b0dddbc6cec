"""Records to ids, framed exactly as the runtime will frame a prompt.

Text never turns into a control token, nor a prompt into any added token; the recipe's special tokens count in completions only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgellm.data.examples import Encoded, Examples
from edgellm.data.records import OwnCorpus, Record
from edgellm.data.tokenizer import END, END_ID, PAD, START, TAB, load_tokenizer
from edgellm.errors import TrainingError
from edgellm.prompt import PLACEHOLDER
from edgellm.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tokenizers

BATCH = 1024  # records encoded at once
CONTROL = re.compile("|".join((PAD, START, END, TAB)))
T = TypeVar("T")


class Framer:
    """Encodes records for a corpus and its trained tokenizer."""

    def __init__(self, tokenizer: Path, corpus: OwnCorpus) -> None:
        self._library = load_tokenizer(tokenizer)
        self._library.encode_special_tokens = True  # that is: as plain text
        self._before, self._slot, self._after = _cut(Tokenizer.from_file(tokenizer), corpus.template)
        self._specials = {token: _id(self._library, token, tokenizer) for token in corpus.special_tokens}
        self._vocab = self._library.get_vocab_size()

    def prompts(self, records: Sequence[Record]) -> list[list[int]]:
        """Ids of the framed prompts, as `edgellm.prompt.encode` gives them."""
        texts = [self._slot.replace(PLACEHOLDER, record.prompt) for record in records]
        return [[*self._before, *ids, *self._after] for ids in self._plain(texts)]

    def encode(self, records: Sequence[Record]) -> list[Encoded]:
        """(ids, prompt length) of each record: prompt, completion, and `</s>` where the completion ends."""
        answers = self._completions([record.completion for record in records])
        return [
            (prompt + answer + ([END_ID] if record.ends else []), len(prompt))
            for record, prompt, answer in zip(records, self.prompts(records), answers, strict=True)
        ]

    def examples(self, records: Iterable[Record]) -> Examples:
        """All records, encoded batch by batch into compact storage."""
        examples = Examples(vocab=self._vocab)
        for batch in batched(records, BATCH):
            for example in self.encode(batch):
                examples.append(example)
        return examples

    def starts(self, text: str) -> list[int]:
        """For each token of a completion the position of its first character."""
        starts: list[int] = []
        at = 0
        for part, token in cut_specials(text, self._specials):
            if token is not None:
                starts.append(at)
            else:
                starts += [at + start for start, _ in self._library.encode(part).offsets]
            at += len(part)
        return starts

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._library.encode_batch(list(texts))]

    def _completions(self, texts: Sequence[str]) -> list[list[int]]:
        if not self._specials:
            return self._plain(texts)
        parts = [list(cut_specials(text, self._specials)) for text in texts]
        plain = iter(self._plain([part for row in parts for part, token in row if token is None]))
        return [
            [i for _, token in row for i in ([token] if token is not None else next(plain))] for row in parts
        ]


def texts(corpus: OwnCorpus, record: Record) -> Iterator[str]:
    """What the tokenizer learns from a record: its texts as they will be encoded, special tokens left out."""
    slot = next(piece for piece in re.split(CONTROL, corpus.template) if PLACEHOLDER in piece)
    if record.prompt:
        yield slot.replace(PLACEHOLDER, record.prompt)
    specials = dict.fromkeys(corpus.special_tokens, 0)
    yield from (part for part, token in cut_specials(record.completion, specials) if token is None)


def cut_specials(text: str, specials: dict[str, int]) -> Iterator[tuple[str, int | None]]:
    """Special tokens in a text, longest first, and the plain text between them."""
    if not specials:
        yield text, None
        return
    pattern = "|".join(re.escape(token) for token in sorted(specials, key=len, reverse=True))
    for part in re.split(f"({pattern})", text):
        if part:
            yield part, specials.get(part)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _id(library: tokenizers.Tokenizer, token: str, path: Path) -> int:
    found = library.token_to_id(token)
    if found is None:
        raise TrainingError(f"{path}: has no token {token!r} of corpus.special_tokens: train it again")
    return found


def _cut(tokenizer: Tokenizer, template: str) -> tuple[list[int], str, list[int]]:
    """Ids before the piece of the template that holds the prompt, that piece, and ids after it."""
    before: list[int] = []
    after: list[int] = []
    slot = ""
    for piece, token in tokenizer.cut_added(template):
        if PLACEHOLDER in piece:
            slot = piece
        else:
            (after if slot else before).extend([token] if token is not None else tokenizer.encode(piece))
    return before, slot, after
