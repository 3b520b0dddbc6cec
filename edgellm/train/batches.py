"""Batches of prompts and answers: bucketed by length, padded on the right, answer-weighted."""

from __future__ import annotations

import random
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from edgellm.data.corpus import Row
from edgellm.data.examples import Encoded, Examples
from edgellm.data.tokenizer import PAD_ID

__all__ = ["Batch", "Encoded", "Epoch", "balance", "lengths", "make_batch", "pack"]


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


class Epoch(Sequence[Batch]):
    """Batches that are made when they are asked for, so that a large corpus is in memory once."""

    def __init__(self, examples: Sequence[Encoded], groups: list[array[int]], prompt_weight: float) -> None:
        """`groups` are indices of the examples that share a batch; `prompt_weight` may change between batches."""
        self._examples, self._groups, self.prompt_weight = examples, groups, prompt_weight

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            return Epoch(self._examples, self._groups[index], self.prompt_weight)
        return make_batch([self._examples[i] for i in self._groups[index]], self.prompt_weight)


def pack(examples: Sequence[Encoded], batch_tokens: int, prompt_weight: float, rng: random.Random) -> Epoch:
    """One epoch in random order; a batch holds lines of similar length, at most `batch_tokens` with padding."""
    tokens = lengths(examples)
    keys = np.fromiter((length + rng.random() for length in tokens), np.float64, len(tokens))
    groups: list[array[int]] = []
    for index in np.argsort(keys, kind="stable").tolist():
        if not groups or (len(groups[-1]) + 1) * tokens[index] > batch_tokens:
            groups.append(array("I"))
        groups[-1].append(index)
    rng.shuffle(groups)
    return Epoch(examples, groups, prompt_weight)


def lengths(examples: Sequence[Encoded]) -> list[int]:
    """Tokens of each example."""
    return examples.lengths() if isinstance(examples, Examples) else [len(ids) for ids, _ in examples]


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
