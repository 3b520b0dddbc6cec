"""Trains the byte-level BPE tokenizer of a corpus.

Pipeline: pre-tokenizers Digits(individual) and ByteLevel, BPE over all 256 byte symbols, added tokens for control, the
tab between prompt and answer, and every intent and slot key of the home corpus or the special tokens of a recipe.
Nothing else, so that `edgellm.tokenizer` can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm import files
from edgellm.data.corpus import Row
from edgellm.errors import TrainingError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, START, END, TAB = "<pad>", "<s>", "</s>", "\t"
PAD_ID, START_ID, END_ID, TAB_ID = 0, 1, 2, 3
SAMPLE_LINES = 40_000
_KEY = re.compile(r" \w+=")


def train_tokenizer(rows: Sequence[Row], vocab: int, path: Path) -> Tokenizer:
    """Train on the first `SAMPLE_LINES` rows of the home corpus and write `path`; exactly `vocab` tokens.

    Raises: TrainingError when `vocab` has no room for bytes and added tokens, or the text for that many merges.
    """
    intents = sorted({row[1].split(" ", 1)[0] for row in rows})
    keys = sorted({key for row in rows for key in _KEY.findall(row[1])})
    return train_on_texts(_texts(rows[:SAMPLE_LINES]), [*intents, *keys], vocab, path)


def train_on_texts(texts: Iterable[str], specials: Sequence[str], vocab: int, path: Path) -> Tokenizer:
    """Train on texts in which no added token is looked for, and write `path`; exactly `vocab` tokens, `specials` among them.

    Raises: TrainingError as `train_tokenizer`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    added = [PAD, START, END, TAB, *specials]
    if vocab < len(added) + 256:
        raise TrainingError(f"vocab {vocab} is too small: {len(added)} added tokens and 256 bytes are needed")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=added,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if (size := tokenizer.get_vocab_size()) != vocab:
        raise TrainingError(f"the corpus gave {size} tokens, not {vocab}: use more lines, or a smaller vocab")
    files.write_text(path, tokenizer.to_str(pretty=True) + "\n")
    return tokenizer


def _texts(rows: Sequence[Row]) -> Iterator[str]:
    """Command, target and reply as they are encoded; added tokens are cut out by the trainer's caller."""
    for command, target, reply in rows:
        yield " " + command
        yield from (part for part in re.split(r"^\w+| \w+=", target) if part)
        yield reply


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json; TrainingError when it is missing or damaged."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise TrainingError(f"{path}: not a readable tokenizer ({error})") from error


def encode_rows(tokenizer: Tokenizer, rows: Sequence[Row]) -> list[tuple[list[int], int]]:
    """(ids, prompt length) a row: `<s> command <TAB>` is the prompt, `Intent ... reply </s>` the answer."""
    prompts = tokenizer.encode_batch([" " + row[0] for row in rows])
    answers = tokenizer.encode_batch([f"{row[1]}\t{row[2]}" for row in rows])
    return [
        ([START_ID, *prompt.ids, TAB_ID, *answer.ids, END_ID], len(prompt.ids) + 2)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Text of answer ids, added tokens included."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False))
