"""Batches of commands and answers: bucketed by length, padded on the right, answer-weighted."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgellm.data.corpus import Row
from edgellm.data.tokenizer import PAD_ID

Encoded = tuple[list[int], int]  # ids, prompt length


@dataclass(frozen=True, slots=True)
class Batch:
    """ids [rows, time] int64; weight [rows, time-1] float32 of the loss at each predicted token; real tokens."""

    ids: Tensor
    weight: Tensor
    tokens: int


def balance(rows: Sequence[Row], least: int, rng: random.Random) -> list[Row]:
    """The rows, with those of rare intents repeated until each intent has at least `least`."""
    by_intent: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_intent[row[1].split(" ", 1)[0]].append(row)
    extra = [rng.choice(group) for group in by_intent.values() for _ in range(max(0, least - len(group)))]
    return [*rows, *extra]


def pack(
    examples: Sequence[Encoded], batch_tokens: int, prompt_weight: float, rng: random.Random
) -> list[Batch]:
    """One epoch in random order; a batch holds lines of similar length, at most `batch_tokens` with padding."""
    ordered = sorted(examples, key=lambda example: len(example[0]) + rng.random())
    batches: list[Batch] = []
    group: list[Encoded] = []
    for example in ordered:
        if group and (len(group) + 1) * len(example[0]) > batch_tokens:
            batches.append(make_batch(group, prompt_weight))
            group = []
        group.append(example)
    if group:
        batches.append(make_batch(group, prompt_weight))
    rng.shuffle(batches)
    return batches


def make_batch(group: Sequence[Encoded], prompt_weight: float) -> Batch:
    """Pad one group of examples; prompt tokens weigh `prompt_weight`, answer tokens 1, padding 0."""
    time = max(len(ids) for ids, _ in group)
    ids = torch.full((len(group), time), PAD_ID, dtype=torch.long)
    weight = torch.zeros(len(group), time - 1)
    for row, (tokens, prompt) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weight[row, : prompt - 1] = prompt_weight
        weight[row, prompt - 1 : len(tokens) - 1] = 1.0
    return Batch(ids, weight, sum(len(tokens) for tokens, _ in group))
