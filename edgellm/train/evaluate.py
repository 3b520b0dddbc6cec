"""Does the model do its job: intent right, every slot right, reply right, on commands it has never seen.

The same measure for the float student, the quantised model in torch, and the integer model that is shipped.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from edgellm import progress
from edgellm.data import corpus
from edgellm.data import tokenizer as bpe
from edgellm.train.config import Recipe
from edgellm.train.model import Cache

SETS = {"heldout": "held-out expansions", "templates": "unseen templates", "values": "unseen slot values"}
LINES = 500
MOST_TOKENS = 64
Answerer = Callable[[Sequence[list[int]]], list[list[int]]]  # prompts -> answers without the end token
_SLOT = re.compile(r" (\w+)= ")


class Stepper(Protocol):
    """A model that can be asked token by token."""

    def step(self, ids: Tensor, caches: Cache) -> tuple[Tensor, Cache]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer taken apart."""

    intent: str
    slots: dict[str, str]
    reply: str


def parse(text: str) -> Answer:
    """`Intent key= value key= value<TAB>reply` taken apart; missing parts are empty."""
    target, _, reply = text.partition("\t")
    head, *rest = _SLOT.split(target)
    return Answer(head.strip(), dict(zip(rest[::2], rest[1::2], strict=True)), reply)


def score(expected: Sequence[corpus.Row], answers: Sequence[str]) -> dict[str, Any]:
    """Percentages over the rows: intent, exact (intent and all slots), reply; with 95 % Wilson intervals."""
    counts = {"intent": 0, "exact": 0, "reply": 0}
    for (_, target, reply), text in zip(expected, answers, strict=True):
        want, got = parse(f"{target}\t{reply}"), parse(text)
        counts["intent"] += got.intent == want.intent
        counts["exact"] += (got.intent, got.slots) == (want.intent, want.slots)
        counts["reply"] += got.reply == want.reply
    return {"lines": len(expected), **{name: _share(count, len(expected)) for name, count in counts.items()}}


def _share(count: int, total: int) -> dict[str, float]:
    """Percent with its Wilson score interval (Wilson 1927)."""
    z, p = 1.96, count / total
    centre, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = ((centre + sign * spread) / (1 + z * z / total) for sign in (-1, 1))
    return {"percent": round(100 * p, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}


@torch.no_grad()
def greedy(model: Stepper, prompts: Sequence[list[int]]) -> list[list[int]]:
    """Greedy answers of a torch model; prompts of equal length run together."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(prompts):
        by_length[len(ids)].append(index)
    answers: list[list[int]] = [[] for _ in prompts]
    for indices in by_length.values():
        rows = _greedy_rows(model, torch.tensor([prompts[i] for i in indices]))
        for index, row in zip(indices, rows, strict=True):
            answers[index] = row[: row.index(bpe.END_ID)] if bpe.END_ID in row else row
    return answers


def _greedy_rows(model: Stepper, ids: Tensor) -> list[list[int]]:
    caches: Cache = [None] * model.arch.layers  # type: ignore[attr-defined]
    picked: list[Tensor] = []
    done = torch.zeros(len(ids), dtype=torch.bool)
    while len(picked) < MOST_TOKENS and not done.all():
        logits, caches = model.step(ids, caches)
        ids = logits[:, -1].argmax(-1, keepdim=True)
        picked.append(ids)
        done |= ids[:, 0] == bpe.END_ID
    return torch.cat(picked, 1).tolist()


def on_sets(folder: Path, tokenizer: Path, answer: Answerer, label: str) -> dict[str, Any]:
    """Scores of one model on the three held-out sets of a corpus folder."""
    library = bpe.load_tokenizer(tokenizer)
    report = {}
    with progress.track(f"Evaluating {label}", len(SETS)) as bar:
        for name in SETS:
            rows = corpus.read_split(folder, name)[:LINES]
            prompts = [ids[:length] for ids, length in bpe.encode_rows(library, rows)]
            texts = [bpe.decode(library, ids) for ids in answer(prompts)]
            report[name] = score(rows, texts)
            bar.advance(exact=report[name]["exact"]["percent"])
    return report


def integer_answers(model: Path) -> Answerer:
    """The shipped integer model on the fastest exact back end here."""
    from edgellm.runtime import registry

    backend, _ = registry.choose(registry.AUTO)

    def answer(prompts: Sequence[list[int]]) -> list[list[int]]:
        session = backend.open(model)
        try:
            return [list(session.stream(ids, MOST_TOKENS, frozenset([bpe.END_ID]))) for ids in prompts]
        finally:
            session.close()

    return answer


def compare(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Metrics of float student, quantised model and integer model of a finished run."""
    from edgellm.export.integer import export_model
    from edgellm.train.distill import CHECKPOINT, load_float, load_quantised

    export_model(folder / CHECKPOINT, folder / "model")
    student = load_float(folder / "student", recipe.student).eval()
    quantised, _ = load_quantised(folder / CHECKPOINT)
    answerers: dict[str, Answerer] = {
        "float": lambda prompts: greedy(student, prompts),
        "quantised": lambda prompts: greedy(quantised, prompts),
        "integer": integer_answers(folder / "model"),
    }
    tokenizer = folder / "tokenizer.json"
    return {name: on_sets(folder / "corpus", tokenizer, answer, name) for name, answer in answerers.items()}
