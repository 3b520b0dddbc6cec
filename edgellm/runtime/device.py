"""What a back end is to the engine: slots that take jobs and give events, whatever runs them.

The protocol is that of the accelerator (docs/hardware.md): a job is submitted to a slot, and the device generates by itself
until it ends. Where the host wants to choose a token (constraints, filters of the distribution), the device shows logits
instead and waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.generation import FinishReason
from edgellm.numerics.model import Architecture
from edgellm.numerics.sampling import GREEDY, Sampling

MODEL_FILE = "model.onnx"
LOGITS = -1  # in the place of an event's token


@dataclass(frozen=True, slots=True)
class Job:
    """What a slot is asked to do. Checked by who submits it (numerics.generation.check_request)."""

    prompt: Sequence[int]  # tokens to feed, the first at position `start`
    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    sampling: Sampling = GREEDY
    start: int = 0  # positions before it are in the slot's cache
    by_host: bool = False  # events show logits, and the device waits for `choose`
    before: Sequence[int] = ()  # tokens at the positions before `start`, for who guesses
    speculate: bool = True  # guess tokens where that is faster; it changes none

    def after(self, tokens: Sequence[int]) -> Job:
        """What is left to do when these tokens have been generated, from an empty cache."""
        left = self.max_tokens - len(tokens)
        return replace(self, prompt=[*self.prompt, *tokens], max_tokens=left, start=0)


class Event(NamedTuple):
    """A token of a slot; the reason comes with the last. A stop id is shown with its reason, and no part of the answer.

    A device that made several tokens of a slot since it was asked may give one event of them.
    """

    slot: int
    token: int  # or LOGITS: those of the slot are there
    reason: FinishReason | None = None
    before: Sequence[int] = ()  # tokens that came before this one


@dataclass(frozen=True, slots=True)
class Traits:
    """What a device can do besides greedy and seeded generation; the engine does without the rest."""

    slots: int
    logits: bool = True  # shows them, so that the host may choose
    copies: bool = True  # a slot's positions can be copied to another
    stop_ids: int | None = None  # that it compares; None is any number
    clock_hz: float | None = None  # of a device that counts cycles


class Device(Protocol):
    """A model on one back end. Not for two threads at once.

    Raises BackendFailed from any call when it has broken down; then only `close` may follow.
    """

    name: str  # native, cpu, golden, sim, ...
    arch: Architecture
    logit_step: float | None  # nats; None in files that do not say
    traits: Traits

    def submit(self, slot: int, job: Job) -> None:
        """Begin in a free slot. Raises: ModelUnsupported for noise that the model's logit step does not allow."""
        ...

    def poll(self, timeout: float) -> Sequence[Event]:
        """Events since the last call, each slot's in order; waits `timeout` seconds at most for the first.

        Empty when nothing goes on.
        """
        ...

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab] behind the slot's last event; to be used before the next call."""
        ...

    def choose(self, slot: int, token: int) -> FinishReason | None:
        """Go on with this token after an event of logits, or end for the reason returned, as an event would say."""
        ...

    def cancel(self, slot: int) -> None:
        """Free a slot at once: no event of its job comes any more. A free one stays free."""
        ...

    def copy(self, source: int, target: int, positions: int) -> None:
        """Let the first positions of the free slot `target` be those of `source`, which has been fed them."""
        ...

    def counters(self, slot: int) -> Mapping[str, float]:
        """What only the device can count about the slot's last job (cycles); empty elsewhere."""
        ...

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        ...
