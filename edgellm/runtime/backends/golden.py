"""Back end `golden`: the NumPy model of the contract, the judge of all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics import onnxfile
from edgellm.numerics.generation import check_request
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.sampling import GREEDY, Sampling
from edgellm.runtime.backends.base import MODEL_FILE, Session


class GoldenSession:
    """A golden model; see `base.Session`."""

    name = "golden"
    batch = 1

    def __init__(self, model: GoldenModel) -> None:
        self._model = model
        self.finish_reason = ""
        self.timings: Mapping[str, float] = {}

    def stream(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: frozenset[int],
        sampling: Sampling = GREEDY,
    ) -> Iterator[int]:
        """Tokens of the answer."""
        self.finish_reason = yield from self._model.stream(prompt_ids, max_tokens, stop_ids, sampling)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.int16]]:
        """Logits int16 [time, vocab] of each sequence."""
        return [self._logits(ids) for ids in sequences]

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
    ) -> list[list[int]]:
        """The greedy answer to each prompt."""
        return [self._model.generate(ids, max_tokens, stop_ids).tokens for ids in prompts]

    def _logits(self, ids: Sequence[int]) -> NDArray[np.int16]:
        check_request(self._model.arch, ids, 1)
        cache = self._model.new_cache()
        return np.stack([self._model.step(cache, token, position) for position, token in enumerate(ids)])

    def close(self) -> None:
        """Nothing is held."""


def open_session(folder: Path) -> Session:
    """A session on a model folder."""
    return GoldenSession(GoldenModel(onnxfile.load(folder / MODEL_FILE)))
