"""What a back end is to the rest of the package: one opened model that turns prompt ids into token ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendUnavailable
from edgellm.numerics.sampling import GREEDY, Sampling

MODEL_FILE = "model.onnx"


class Session(Protocol):
    """A model opened on one back end; one answer at a time.

    A module of this package offers `open_session(folder: Path) -> Session`, which raises BackendUnavailable,
    ModelNotFound, ModelCorrupt or ModelUnsupported.
    """

    name: str  # cpu, golden, sim
    finish_reason: str  # of the last answer read to its end: stop, length or context
    timings: Mapping[str, float]  # what only the device can count (cycles); empty elsewhere

    def stream(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: frozenset[int],
        sampling: Sampling = GREEDY,
    ) -> Iterator[int]:
        """Token ids of the answer as they are made; the stop id is not among them.

        Closing the iterator early frees the slot. Raises EmptyPrompt, PromptTooLong, UsageError, ModelUnsupported (a
        model that cannot be sampled) before the first token, BackendFailed at any.
        """
        ...

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        ...


@runtime_checkable
class LogitsSession(Protocol):
    """A session that also shows logits and takes many sequences at once: golden and cpu.

    An accelerator that samples on chip has tokens only. The sequences do not see each other; the errors are those of
    `Session.stream`.
    """

    batch: int  # how many sequences a call should bring to be fast; any number may be given

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.int16]]:
        """Logits int16 [time, vocab] of each sequence of tokens: row t is about what follows the tokens 0..t."""
        ...

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
    ) -> list[list[int]]:
        """What `Session.stream` gives for each prompt, greedily."""
        ...


def with_logits(session: Session) -> LogitsSession:
    """The session as one that shows logits; BackendUnavailable when its back end has tokens only."""
    if isinstance(session, LogitsSession):
        return session
    raise BackendUnavailable(
        f"back end {session.name} gives tokens only: metrics without loss, or --backend cpu"
    )
