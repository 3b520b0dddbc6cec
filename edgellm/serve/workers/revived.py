"""A worker that is opened again when it breaks down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from edgellm.errors import BackendFailed
from edgellm.serve.orders import Order, Portion, Worker, WorkerState

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # s before the second try in a row, doubling, and before any
SOUND = 10.0  # s of life, after which tries are counted anew
LOST = 3  # tries that fail, after which nobody waits for it; they go on
KEPT = 8  # failures that are told
Opener = Callable[[Callable[[], None]], Awaitable[Worker]]


class Revived:
    """See `orders.Worker`. The first try to open it again is made at once, the next ones later and later."""

    def __init__(
        self,
        name: str,
        opener: Opener,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`opener` makes a worker; it is given what to call when that dies while nobody reads from it."""
        self.name, self._opener, self._clock, self._sleep = name, opener, clock, sleep
        self._worker: Worker | None = None
        self._known = ("", 0)  # back end and slots of the last one
        self._since = 0.0  # when it was opened
        self._tries = 0  # in a row, to open it again
        self.restarts = 0  # times that it was
        self._failures: tuple[str, ...] = ()
        self._lost = self._closed = False
        self._reviving: asyncio.Task[None] | None = None
        self.listeners: list[Callable[[], None]] = []  # called when it has come or gone

    @property
    def backend(self) -> str:
        """In use, or last in use."""
        return self._worker.backend if self._worker else self._known[0]

    @property
    def slots(self) -> int:
        """Of that back end."""
        return self._worker.slots if self._worker else self._known[1]

    async def open(self) -> None:
        """For the first time. Raises: what the opener raises."""
        self._use(await self._opener(self._died))

    def retry(self, error: Exception) -> None:
        """Go on trying, after `open` has raised this."""
        self._reviving = asyncio.create_task(self._revive(None, str(error)))

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions of the worker that there is."""
        worker = self._worker
        if worker is None:
            why = "it is closed" if self._closed else "it is being opened again"
            raise BackendFailed(f"worker {self.name}: {why}")
        try:
            async with aclosing(worker.stream(order)) as portions:
                async for portion in portions:
                    yield portion
        except BackendFailed as error:
            self._give_up(worker, str(error))
            raise

    def state(self) -> WorkerState:
        """How it is."""
        if self._worker is None:
            return WorkerState(False, failures=self._failures, lost=self._lost)
        state = self._worker.state()
        return replace(state, failures=(*self._failures, *state.failures)) if self._failures else state

    async def clear_cache(self) -> None:
        """Of the worker that there is; a new one has none."""
        if self._worker is not None:
            await self._worker.clear_cache()

    async def close(self) -> None:
        """Close the worker, and open none any more."""
        self._closed = self._lost = True
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait([self._reviving])
        if self._worker is not None:
            worker, self._worker = self._worker, None
            await worker.close()
        self._tell()

    def _use(self, worker: Worker) -> None:
        self._worker, self._since, self._lost = worker, self._clock(), False

    def _died(self) -> None:
        if self._worker is not None and not self._worker.state().alive:
            self._give_up(self._worker, "it died")

    def _give_up(self, worker: Worker, why: str) -> None:
        """Open another one, unless that is being done."""
        if worker is not self._worker:
            return
        self._worker, self._known = None, (worker.backend, worker.slots)
        if self._clock() - self._since >= SOUND:
            self._tries = 0
        self._reviving = asyncio.create_task(self._revive(worker, why))
        self._tell()

    async def _revive(self, worker: Worker | None, why: str) -> None:
        if worker is not None:
            with contextlib.suppress(Exception):  # it is broken, and may say so again
                await worker.close()
            why = next(reversed(worker.state().failures), why)  # it may know more by now
        self._note(why)
        failed = 0
        while self._worker is None:
            await self._sleep(self._pause())
            self._tries += 1
            try:
                self._use(await self._opener(self._died))
                self.restarts += 1
            except Exception as error:  # whatever it is, it may be over next time
                failed += 1
                self._lost = failed >= LOST
                self._note(str(error))
            self._tell()

    def _pause(self) -> float:
        return min(FIRST_PAUSE * 2 ** (self._tries - 1), LONGEST_PAUSE) if self._tries else 0.0

    def _note(self, why: str) -> None:
        self._failures = (*self._failures, why)[-KEPT:]

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()
