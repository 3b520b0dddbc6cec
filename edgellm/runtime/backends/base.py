"""What a back end is to the rest of the package: one opened model that turns prompt ids into token ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

MODEL_FILE = "model.onnx"


class Session(Protocol):
    """A model opened on one back end; one answer at a time.

    A module of this package offers `open_session(folder: Path) -> Session`, which raises BackendUnavailable,
    ModelNotFound, ModelCorrupt or ModelUnsupported.
    """

    name: str  # cpu, golden, sim
    finish_reason: str  # of the last answer read to its end: stop, length or context
    timings: Mapping[str, float]  # what only the device can count (cycles); empty elsewhere

    def stream(self, prompt_ids: Sequence[int], max_tokens: int, stop_ids: frozenset[int]) -> Iterator[int]:
        """Token ids of the greedy answer as they are made; the stop id is not among them.

        Closing the iterator early frees the slot. Raises EmptyPrompt, PromptTooLong, UsageError before the
        first token, BackendFailed at any.
        """
        ...

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        ...
