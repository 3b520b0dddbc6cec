"""Back end `golden`: the NumPy model of the contract, the judge of all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime.backends.base import MODEL_FILE, Session


class GoldenSession:
    """A golden model; see `base.Session`."""

    name = "golden"

    def __init__(self, model: GoldenModel) -> None:
        self._model = model
        self.finish_reason = ""
        self.timings: Mapping[str, float] = {}

    def stream(self, prompt_ids: Sequence[int], max_tokens: int, stop_ids: frozenset[int]) -> Iterator[int]:
        """Tokens of the greedy answer."""
        self.finish_reason = yield from self._model.stream(prompt_ids, max_tokens, stop_ids)

    def close(self) -> None:
        """Nothing is held."""


def open_session(folder: Path) -> Session:
    """A session on a model folder."""
    return GoldenSession(GoldenModel(onnxfile.load(folder / MODEL_FILE)))
