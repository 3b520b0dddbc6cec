"""A second try for an answer whose first token is late (Dean, Barroso 2013, "The Tail at Scale")."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.serve.orders import Portion

Portions = AsyncGenerator[Portion, None]
RECENT, LEAST = 256, 32  # first tokens from which the delay is measured
REFRESH = 16  # first tokens between two looks at them
LATE = 0.95  # share of them that come before the delay


class Delay:
    """How long first tokens take."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._seen = 0
        self.seconds: float | None = None  # after which one is late; None: not known yet

    def came(self, seconds: float) -> None:
        """A first token came after so many seconds."""
        self._recent.append(seconds)
        self._seen += 1
        if self._seen >= LEAST and self._seen % REFRESH == 0:
            self.seconds = sorted(self._recent)[int(LATE * len(self._recent))]


async def race(
    first: Portions, delay: float, rival: Callable[[], Portions | None]
) -> tuple[Portion, Portions]:
    """The first portion that comes, and where the others come from; the loser is closed.

    `rival` makes the second try when `delay` seconds have passed, if it can. Raises BackendFailed and BackendUnavailable when all
    of them do.
    """
    tries: dict[asyncio.Future[Portion], Portions] = {asyncio.ensure_future(anext(first)): first}
    try:
        done, _ = await asyncio.wait(tries, timeout=delay)
        if not done and (second := rival()) is not None:
            tries[asyncio.ensure_future(anext(second))] = second
        return await _winner(tries)
    finally:
        for task, portions in tries.items():
            await _close(task, portions)


async def _winner(tries: dict[asyncio.Future[Portion], Portions]) -> tuple[Portion, Portions]:
    """Whose portion is there first; it is no longer among the tries."""
    while True:
        await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in tries if task.done()]:
            portions = tries.pop(task)
            try:
                return task.result(), portions
            except (BackendFailed, BackendUnavailable):
                if not tries:
                    raise


async def _close(task: asyncio.Future[Portion], portions: Portions) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen, and nobody's concern
    await portions.aclose()
