"""The queue before the workers: who is let in, who is next, and what ends before it began."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from edgellm.errors import Overloaded
from edgellm.serve.fair import FairQueue, Ticket
from edgellm.serve.orders import End, Order, Portion, Source
from edgellm.serve.settings import QueueSettings

EXPIRED = "deadline"
RECENT = 64  # ends from which the rate is measured
LEAST_RETRY, MOST_RETRY = 1.0, 60.0  # s


@dataclass(slots=True)
class QueueState:
    """A look at a scheduler. Since the start: `admitted` orders have had one of the ends below it, wait or run."""

    waiting: int = 0
    waiting_tokens: int = 0  # of their prompts, and of their answers at most
    running: int = 0  # at the workers
    refused: int = 0  # not let in
    admitted: int = 0
    finished: int = 0
    expired: int = 0  # by their deadline, while they waited
    cancelled: int = 0  # by who asked, waiting or running
    failed: int = 0


@dataclass(slots=True, eq=False)
class _Place(Ticket):
    """An order, waiting first or running at once."""

    turn: asyncio.Future[bool] | None = None  # of one that waits: whether it may run
    running: bool = False
    done: bool = False
    used: int = 0  # tokens, of prompt and answer so far


class Scheduler:
    """See `orders.Source`. For one event loop.

    `observers` are called with the seconds that an order has waited, when it starts.
    """

    def __init__(
        self,
        inner: Source,
        capacity: Callable[[], int],
        context: int,
        settings: QueueSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`capacity`: orders that may be at the workers now; who lets it grow calls `wake`. `context`: the model's, tokens."""
        self._inner, self._capacity, self._context = inner, capacity, context
        self._settings, self._clock = settings, clock
        self._queue: FairQueue[_Place] = FairQueue()
        self._state = QueueState()
        self._ends: deque[float] = deque(maxlen=RECENT)  # when orders left the workers
        self._against: str | None = None  # why nobody is let in
        self._idle = asyncio.Event()
        self._idle.set()
        self.observers: list[Callable[[float], None]] = []

    def state(self) -> QueueState:
        """How it is."""
        return replace(self._state, waiting=len(self._queue), waiting_tokens=self._queue.tokens)

    def shut(self, why: str) -> None:
        """Refuse new orders from now on, with this message."""
        self._against = why

    async def idle(self) -> None:
        """Until nothing waits or runs."""
        await self._idle.wait()

    def wake(self) -> None:
        """Start those that there is room for."""
        while self._queue and self._state.running < self._capacity():
            place = self._queue.pop()
            self._start(place)
            if place.turn is not None and not place.turn.done():  # otherwise cancelled, and about to leave
                place.turn.set_result(True)

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions, as soon as it is the order's turn."""
        if order.left() is None:
            order = replace(order, deadline=self._settings.deadline)
        came, place = self._clock(), self._admit(order)
        try:
            if not await self._turn(place, order):
                yield Portion((), end=End(EXPIRED, "", queued=self._clock() - came))
                return
            queued = self._clock() - came
            for observe in self.observers:
                observe(queued)
            async with aclosing(self._inner.stream(order)) as portions:
                async for portion in portions:
                    place.used += len(portion.tokens)
                    if portion.end is not None:
                        self._leave(place, "finished")  # now: the reader may take its time
                        portion = portion._replace(end=replace(portion.end, queued=queued))
                    yield portion
        except Exception:
            self._leave(place, "failed")
            raise
        finally:
            self._leave(place, "cancelled")

    def _admit(self, order: Order) -> _Place:
        """A place at the workers or in the queue. Raises: Overloaded."""
        prompt, room = len(order.prompt), max(self._context + 1 - len(order.prompt), 0)
        cost = prompt + min(order.most_tokens or room, room)
        place = _Place(order.client, order.params.priority, cost, used=prompt)
        if self._against is not None:
            self._refuse(self._against)
        if self._queue or self._state.running >= self._capacity():
            self._check_room(cost)
            place.turn = asyncio.get_running_loop().create_future()
            self._queue.push(place)
            self.wake()
        else:
            self._start(place)
        self._state.admitted += 1
        self._idle.clear()
        return place

    def _check_room(self, cost: int) -> None:
        waiting, tokens = len(self._queue), self._queue.tokens
        if waiting >= self._settings.most_requests:
            self._refuse(f"{waiting} requests wait, and no more may (queue.most_requests)")
        if tokens + cost > self._settings.most_tokens:
            self._refuse(
                f"{tokens} tokens of prompts and answers wait, this request has up to {cost}, "
                f"and {self._settings.most_tokens} may wait (queue.most_tokens)"
            )

    def _refuse(self, why: str) -> None:
        self._state.refused += 1
        wait = self._expected_wait()
        raise Overloaded(f"{why}: try again in {wait:.0f} s", wait)

    def _expected_wait(self) -> float:
        """Seconds until all that wait now have been started, at the rate at which orders ended of late."""
        if len(self._ends) < 2:
            return LEAST_RETRY
        each = (self._clock() - self._ends[0]) / (len(self._ends) - 1)
        return min(max(each * len(self._queue), LEAST_RETRY), MOST_RETRY)

    async def _turn(self, place: _Place, order: Order) -> bool:
        """Whether the order's turn comes before its deadline."""
        turn, left = place.turn, order.left()
        if turn is None or left is None:
            return place.running
        timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._expire, place, turn)
        try:
            return await turn
        finally:
            timer.cancel()

    def _expire(self, place: _Place, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            self._leave(place, "expired")
            turn.set_result(False)

    def _start(self, place: _Place) -> None:
        place.running = True
        self._state.running += 1

    def _leave(self, place: _Place, count: str) -> None:
        """Make room for others, and count the order; nothing happens a second time."""
        if place.done:
            return
        place.done = True
        setattr(self._state, count, getattr(self._state, count) + 1)
        if place.running:
            self._state.running -= 1
            self._ends.append(self._clock())
            self._queue.settle(place, place.used)
            self.wake()
        else:
            self._queue.remove(place)
        if not self._queue and not self._state.running:
            self._idle.set()
