"""Keeps requests safe from a store: it is never waited for long, and left alone for a while when it fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import structlog

from edgellm.errors import StoreFailed
from edgellm.serve.cache.stores import Entry, Figures, Store

T = TypeVar("T")
READ_SECONDS, WRITE_SECONDS = 0.1, 10.0  # to wait for the store; nobody waits for what is written
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # s
_log = structlog.get_logger("edgellm.cache")


class Breaker:
    """Closed as long as all is well. After a failure it is open for a pause, then lets one try through; pauses double."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._pause, self._until = clock, FIRST_PAUSE, 0.0
        self.reason = ""  # why it is open

    def lets_through(self) -> bool:
        """Whether to try now."""
        if not self.reason:
            return True
        if self._clock() < self._until:
            return False
        self._until = self._clock() + self._pause  # for the others
        return True

    def failed(self, reason: str) -> None:
        """A try failed."""
        if self.reason:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.reason, self._until = reason, self._clock() + self._pause

    def worked(self) -> None:
        """A try was fine."""
        self.reason, self._pause = "", FIRST_PAUSE


class Guard:
    """A store that raises nothing. Reading and writing fail apart: a full disk can still be read."""

    def __init__(
        self, store: Store, read_seconds: float = READ_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._read_seconds = store, read_seconds
        self._reads, self._writes = Breaker(clock), Breaker(clock)
        self.name, self.failures = store.name, 0

    @property
    def reason(self) -> str:
        """What is wrong with the store; empty when nothing is."""
        return self._reads.reason or self._writes.reason

    async def get(self, model: str, key: bytes) -> bytes | None:
        """The value; None also where the store does not answer in time."""
        return await self._read(lambda: self._store.get(model, key), None)

    async def figures(self) -> Figures | None:
        """What there is; None where the store does not say."""
        return await self._write(self._store.figures, None)

    async def put(self, entries: Sequence[Entry]) -> bool:
        """Whether the values are kept."""
        return await self._write(lambda: _done(self._store.put(entries)), False)

    async def drop(self, model: str, key: bytes) -> bool:
        """Whether the value is gone."""
        return await self._write(lambda: _done(self._store.drop(model, key)), False)

    async def clear(self, model: str | None = None) -> int | None:
        """How many values are gone; None where the store does not obey."""
        return await self._write(lambda: self._store.clear(model), None, always=True)

    async def close(self) -> None:
        """Free everything."""
        with anyio.move_on_after(WRITE_SECONDS):
            await self._store.close()

    async def _read(self, action: Callable[[], Awaitable[T]], otherwise: T) -> T:
        return await self._try(self._reads, self._read_seconds, action, otherwise)

    async def _write(self, action: Callable[[], Awaitable[T]], otherwise: T, always: bool = False) -> T:
        return await self._try(self._writes, WRITE_SECONDS, action, otherwise, always)

    async def _try(
        self,
        breaker: Breaker,
        seconds: float,
        action: Callable[[], Awaitable[T]],
        otherwise: T,
        always: bool = False,
    ) -> T:
        if not (breaker.lets_through() or always):
            return otherwise
        try:
            with anyio.fail_after(seconds):
                found = await action()
        except TimeoutError:
            self._failed(breaker, f"{self.name}: no answer within {seconds:g} s")
        except StoreFailed as error:
            self._failed(breaker, str(error))
        else:
            self._worked(breaker)
            return found
        return otherwise

    def _failed(self, breaker: Breaker, reason: str) -> None:
        self.failures += 1
        if not breaker.reason:
            _log.warning("cache.failed", store=self.name, reason=reason)
        breaker.failed(reason)

    def _worked(self, breaker: Breaker) -> None:
        if breaker.reason:
            _log.info("cache.works", store=self.name)
            breaker.worked()


async def _done(action: Awaitable[None]) -> bool:
    await action
    return True
