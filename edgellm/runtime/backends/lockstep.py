"""Many sequences through one decoder, a position of all of them a step: fast, and each as if it were alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.model import Architecture


class Stepper(Protocol):
    """A decoder of `batch` slots that are fed in order from position 0."""

    arch: Architecture
    batch: int

    def step(self, tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Feed one token per slot, int64 [batch] each: the most likely next tokens int64 [batch]."""
        ...


class LogitsStepper(Stepper, Protocol):
    """One that keeps the logits of its last step."""

    def logits(self) -> NDArray[np.int16]:
        """int16 [batch, vocab]."""
        ...


def read(decoder: LogitsStepper, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.int16]]:
    """Logits int16 [time, vocab] of at most `batch` sequences, none empty; row t is about what follows the tokens 0..t."""
    tokens = np.zeros((max(map(len, sequences)), decoder.batch), np.int64)
    for slot, ids in enumerate(sequences):
        tokens[: len(ids), slot] = ids
    seen = np.empty((*tokens.shape, decoder.arch.vocab), np.int16)
    for position, row in enumerate(tokens):
        decoder.step(row, np.full(decoder.batch, position, np.int64))
        seen[position] = decoder.logits()  # a view of what the next step overwrites
    return [seen[: len(ids), slot] for slot, ids in enumerate(sequences)]


def answer(
    decoder: Stepper, prompts: Sequence[Sequence[int]], most: int, stop_ids: Collection[int]
) -> list[list[int]]:
    """Greedy answers to at most `batch` prompts, none empty: what `numerics.generation.generate` yields for each."""
    known = [list(ids) for ids in prompts]
    going = set(range(len(prompts)))
    for position in range(decoder.arch.context):
        if not going:
            break
        row = np.zeros(decoder.batch, np.int64)
        for slot in going:
            row[slot] = known[slot][position]
        following = decoder.step(row, np.full(decoder.batch, position, np.int64)).tolist()
        for slot in [slot for slot in going if position == len(known[slot]) - 1]:
            if following[slot] not in stop_ids:
                known[slot].append(following[slot])
            if following[slot] in stop_ids or len(known[slot]) - len(prompts[slot]) == most:
                going.remove(slot)
    return [ids[len(prompt) :] for ids, prompt in zip(known, prompts, strict=True)]
