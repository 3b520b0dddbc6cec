"""The corpus stage of a run: draws the home corpus or takes in your own, trains the tokenizer, encodes what training reads."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.data import corpus, own, records
from edgellm.data import tokenizer as bpe
from edgellm.data.examples import Examples
from edgellm.data.framing import Framer, batched
from edgellm.data.records import OwnCorpus
from edgellm.errors import TrainingError
from edgellm.train.batches import balance
from edgellm.train.config import Recipe

CORPUS, TOKENIZER = "corpus", "tokenizer.json"
ROWS_AT_ONCE = 4096


def make(recipe: Recipe, folder: Path) -> None:
    """Write `corpus/` and `tokenizer.json` of a run folder, unless they are there. Raises: TrainingError."""
    place, tokenizer = folder / CORPUS, folder / TOKENIZER
    if not place.exists():
        with files.new_directory(place) as work:
            _write(recipe, work, tokenizer)
    if not tokenizer.exists():
        if isinstance(recipe.corpus, OwnCorpus):
            raise TrainingError(
                f"{tokenizer}: missing, though {place} is there: remove that to make both again"
            )
        bpe.train_tokenizer(corpus.read_split(place, "train"), recipe.student.vocab, tokenizer)


def _write(recipe: Recipe, work: Path, tokenizer: Path) -> None:
    source = recipe.corpus
    if isinstance(source, OwnCorpus):
        shape = recipe.student.vocab, recipe.student.context
        own.write_corpus(work, source, tokenizer, shape, recipe.seed)
    else:
        corpus.write_corpus(work, source, recipe.seed)


def examples(recipe: Recipe, folder: Path, split: str) -> Examples:
    """The encoded lines of `train` or `valid`; of the home corpus, training lines with rare intents repeated.

    Raises: TrainingError when the corpus stage has not run.
    """
    if isinstance(recipe.corpus, OwnCorpus):
        lines = records.read_split(folder / CORPUS, split)
        return Framer(folder / TOKENIZER, recipe.corpus).examples(lines)
    rows = corpus.read_split(folder / CORPUS, split)
    if split == "train":
        rows = balance(rows, recipe.least_per_intent, random.Random(recipe.seed))
    library = bpe.load_tokenizer(folder / TOKENIZER)
    encoded = (line for part in batched(rows, ROWS_AT_ONCE) for line in bpe.encode_rows(library, part))
    return Examples(encoded, recipe.student.vocab)


def about(recipe: Recipe) -> dict[str, Any]:
    """What the exported model has to know of its corpus: how prompts are framed, and the licence; nothing for the home corpus."""
    source = recipe.corpus
    if not isinstance(source, OwnCorpus):
        return {}
    return {"prompt": dataclasses.asdict(source.framing), "licence": source.licence}
