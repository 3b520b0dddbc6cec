"""Waiting for the accelerator: first by looking often, then by interrupt where there is one, and not for ever.

PYNQ's interrupts belong to an asyncio event loop. They get one of their own, in a thread, so that any thread of any program may
wait for one, whether it has a loop of its own (a notebook) or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

SPINS = 64  # looks at the memory before somebody sleeps
SLICE = 0.01  # seconds: an interrupt that got lost costs no more
SHORTEST_NAP, LONGEST_NAP = 5e-5, 2e-3
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """A device that is given work and says nothing is broken after so many seconds and so many of its own cycles."""

    seconds: float = 1.0
    cycles: int = 50_000_000  # a quarter of a second at 200 MHz; a whole context in a slow design takes fewer
    most: float = 120.0  # seconds, whatever the cycles


DEFAULT = Patience()


class Waiter(Protocol):
    """Passes the time until there may be something new."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds` at most."""
        ...

    def reset(self) -> None:
        """There was something."""
        ...


class Nap:
    """Sleeps, longer every time."""

    def __init__(self) -> None:
        self._next = SHORTEST_NAP

    def wait(self, seconds: float) -> None:
        """Sleep a little."""
        time.sleep(min(self._next, seconds))
        self._next = min(2 * self._next, LONGEST_NAP)

    def reset(self) -> None:
        """Begin with short naps again."""
        self._next = SHORTEST_NAP


class InterruptWaiter:
    """Waits for an interrupt; `arm` is called before, and makes one come if there is something new already."""

    def __init__(self, interrupt: Any, arm: Callable[[], None]) -> None:
        self._interrupt, self._arm = interrupt, arm

    def wait(self, seconds: float) -> None:
        """Until the interrupt comes."""
        self._arm()
        loop().run(self._wait(min(seconds, SLICE)))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._interrupt.wait(), seconds)

    def reset(self) -> None:
        """Nothing to do."""


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="edgellm-interrupts", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Awaitable[T]) -> T:
        """Result of a coroutine that runs in the loop."""

        async def whole() -> T:
            return await coroutine

        return asyncio.run_coroutine_threadsafe(whole(), self._loop).result()

    def call(self, function: Callable[[], T]) -> T:
        """Result of a function that must be called in the loop's thread."""

        async def called() -> T:
            return function()

        return self.run(called())


@lru_cache(maxsize=1)
def loop() -> Loop:
    """The one loop of this process: PYNQ ties an interrupt to the first loop it sees."""
    return Loop()
