"""Back end `native`: the contract in C on this machine's processor (edgellm.native)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.native.decoder import NativeDecoder
from edgellm.numerics import onnxfile
from edgellm.numerics.generation import FinishReason
from edgellm.numerics.model import IntegerModel
from edgellm.runtime.device import MODEL_FILE, Device, Event, Job, Traits

SLOTS = 32
BURST = 64  # events of one call at most, where nobody waits for the first: a millisecond of a small model
GROWTH = 8  # from the first token on
REASONS: tuple[FinishReason | None, ...] = (None, "stop", "length", "context")


class NativeDevice:
    """A `NativeDecoder` behind the protocol; see `device.Device`.

    Short runs first, so that a first token is not held back by the next ones; longer ones later, because a call costs as much as
    part of a token.
    """

    name = "native"

    def __init__(self, model: IntegerModel, slots: int = SLOTS) -> None:
        self.arch, self.logit_step, self.traits = model.arch, model.logit_step, Traits(slots)
        self._decoder = NativeDecoder(model, slots)
        self._busy: set[int] = set()
        self._steps = 1

    def submit(self, slot: int, job: Job) -> None:
        """Begin in a free slot."""
        self._decoder.submit(
            slot, job.prompt, job.max_tokens, job.stop_ids, job.start, job.sampling, job.by_host
        )
        self._busy.add(slot)
        self._steps = 1

    def poll(self, timeout: float) -> Sequence[Event]:
        """A short run of all busy slots."""
        if not self._busy:
            return ()
        end = time.monotonic() + timeout
        while not len(found := self._decoder.run(self._steps)) and time.monotonic() < end:
            pass
        self._steps = max(1, min(GROWTH * self._steps, BURST // len(self._busy)))
        if len(self._busy) == 1:
            events = [_burst(found)] if len(found) else []
        else:
            events = [_burst(found[found["slot"] == slot]) for slot in dict.fromkeys(found["slot"].tolist())]
        self._busy.difference_update(event.slot for event in events if event.reason)
        return events

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        return self._decoder.logits(slot)

    def choose(self, slot: int, token: int) -> FinishReason | None:
        """Go on with this token."""
        reason = REASONS[self._decoder.choose(slot, token)]
        if reason:
            self._busy.discard(slot)
        return reason

    def cancel(self, slot: int) -> None:
        """Free a slot."""
        self._decoder.cancel(slot)
        self._busy.discard(slot)

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a prefix."""
        self._decoder.copy(source, target, positions)

    def counters(self, slot: int) -> Mapping[str, float]:
        """None."""
        return {}

    def close(self) -> None:
        """Free the memory."""
        self._decoder.close()


def _burst(found: NDArray[np.void]) -> Event:
    """One event of all those of a slot."""
    slot, token, reason, _ = found[-1].item()
    return Event(slot, token, REASONS[reason], tuple(found["token"][:-1].tolist()))


def open_device(folder: Path, slots: int = SLOTS) -> Device:
    """A device on a model folder. Raises: BackendUnavailable, ModelNotFound, ModelCorrupt, ModelUnsupported."""
    return NativeDevice(onnxfile.load(folder / MODEL_FILE), slots)
