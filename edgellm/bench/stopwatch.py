"""A device that notes how long its calls take, so that the host's share of the time can be told from the device's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.generation import FinishReason
from edgellm.runtime.device import Device, Event, Job

P = ParamSpec("P")
R = TypeVar("R")


class TimedDevice:
    """The device inside, call for call. `seconds` were spent in its calls since `restart`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.name, self.arch, self.logit_step = device.name, device.arch, device.logit_step
        self.traits = device.traits
        self.seconds = 0.0

    def restart(self) -> None:
        """Count from nothing again."""
        self.seconds = 0.0

    def _timed(self, call: Callable[P, R]) -> Callable[P, R]:
        @wraps(call)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed

    def submit(self, slot: int, job: Job) -> None:
        """As of the device inside."""
        self._timed(self._device.submit)(slot, job)

    def poll(self, timeout: float) -> Sequence[Event]:
        """As of the device inside."""
        return self._timed(self._device.poll)(timeout)

    def logits(self, slot: int) -> NDArray[np.int16]:
        """As of the device inside."""
        return self._timed(self._device.logits)(slot)

    def choose(self, slot: int, token: int) -> FinishReason | None:
        """As of the device inside."""
        return self._timed(self._device.choose)(slot, token)

    def cancel(self, slot: int) -> None:
        """As of the device inside."""
        self._timed(self._device.cancel)(slot)

    def copy(self, source: int, target: int, positions: int) -> None:
        """As of the device inside."""
        self._timed(self._device.copy)(source, target, positions)

    def counters(self, slot: int) -> Mapping[str, float]:
        """As of the device inside."""
        return self._timed(self._device.counters)(slot)

    def close(self) -> None:
        """As of the device inside."""
        self._device.close()
