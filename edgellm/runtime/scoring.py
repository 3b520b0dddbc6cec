"""Many sequences through an engine: their logits, or answers to them; the slots of its device work side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.generation import check_request
from edgellm.runtime.device import Job
from edgellm.runtime.engine import Answer, Engine, Request


class _Reading:
    """Goes along a sequence instead of generating, and keeps the logits."""

    def __init__(self, ids: Sequence[int], vocab: int) -> None:
        self._ids = ids
        self.seen = np.empty((len(ids), vocab), np.int16)

    def __call__(self, logits: NDArray[np.int16], tokens: Sequence[int]) -> int | None:
        self.seen[len(tokens)] = logits
        following = len(tokens) + 1
        return self._ids[following] if following < len(self._ids) else None


def logits(engine: Engine, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.int16]]:
    """Logits int16 [time, vocab] of each sequence: row t is about what follows the tokens 0..t.

    Raises: as `Engine.submit`, before anything is read; BackendFailed.
    """
    for ids in sequences:
        check_request(engine.device.arch, ids, 1)
    readings = [_Reading(ids, engine.device.arch.vocab) for ids in sequences]
    requests = [
        Request(Job(ids[:1], engine.device.arch.context + 1), reading)
        for ids, reading in zip(sequences, readings, strict=True)
    ]
    _run(engine, requests)
    return [reading.seen for reading in readings]


def answers(
    engine: Engine, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
) -> list[list[int]]:
    """Greedy answers, without the stop id. Raises: as `logits`."""
    for ids in prompts:
        check_request(engine.device.arch, ids, max_tokens)
    return [
        answer.tokens for answer in _run(engine, [Request(Job(ids, max_tokens, stop_ids)) for ids in prompts])
    ]


def _run(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    found = [engine.submit(request) for request in requests]
    for answer in found:
        for _ in engine.tokens(answer):
            pass
    return found
