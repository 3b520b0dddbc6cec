"""Several workers as one source: the least busy one answers, and another goes on when it breaks down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.serve.hedging import Delay, Portions, race
from edgellm.serve.members import Member, MemberState, prefix_keys
from edgellm.serve.orders import Order, Portion, Worker
from edgellm.serve.settings import QueueSettings

TRIES = 3  # of an order, in a row, that bring no token


@dataclass(slots=True)
class PoolState:
    """A look at a pool; counts are since the start."""

    members: list[MemberState] = field(default_factory=list)
    moved: int = 0  # times that an order went on after a worker had failed
    hedged: int = 0  # orders that were given to a second worker
    hedges_won: int = 0  # by the second


@dataclass(slots=True)
class _Course:
    """An order on its way through workers."""

    order: Order
    answer: int  # its tokens at most
    keys: Sequence[int]  # of its prompt
    tokens: list[int]  # so far
    tries: int = 0  # in a row that brought no token
    unfit: list[Member] = field(default_factory=list)  # that cannot follow its params
    error: BackendUnavailable | None = None  # of the last of them

    def onward(self) -> Order:
        """What is left to do."""
        if len(self.tokens) == len(self.order.tokens):
            return self.order
        return replace(self.order, tokens=tuple(self.tokens))


class Pool:
    """See `orders.Source`. For one event loop."""

    def __init__(
        self,
        workers: Sequence[Worker],
        context: int,
        settings: QueueSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Who notices that a worker has come or gone calls `changed`. `context`: the model's, tokens."""
        self._members = [Member(worker, settings.cool_down) for worker in workers]
        self._context, self._settings, self._clock = context, settings, clock
        self._state, self._delay = PoolState(), Delay()
        self._news = asyncio.Event()
        self._against = ""  # why no order gets a worker any more
        self.listeners: list[Callable[[], None]] = []  # called by `changed`

    def state(self) -> PoolState:
        """How it is."""
        now = self._clock()
        return replace(self._state, members=[member.state(now) for member in self._members])

    def capacity(self) -> int:
        """Slots of the workers that are alive; of all where none is, whose orders wait here then."""
        slots = [(member.worker.state().alive, member.worker.slots) for member in self._members]
        return sum(count for alive, count in slots if alive) or sum(count for _, count in slots)

    def changed(self) -> None:
        """Look at the workers again."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        for listener in self.listeners:
            listener()

    def shut(self, why: str) -> None:
        """No order gets a worker from now on, those that were under way neither: they end with BackendFailed."""
        self._against = why
        self.changed()

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions; a reader does not see which workers they come from."""
        course = self._course(order)
        while True:
            member, before = await self._choose(course), len(course.tokens)
            try:
                async with aclosing(await self._begin(member, course)) as portions:
                    async for portion in portions:
                        course.tokens += portion.tokens
                        yield portion
                return
            except BackendUnavailable as error:  # the worker is among the unfit now
                course.error = error
            except BackendFailed as error:
                self._count(course, len(course.tokens) > before, error)

    def _course(self, order: Order) -> _Course:
        room = max(self._context + 1 - len(order.prompt), 0)
        keys = prefix_keys(order.prompt) if len(self._members) > 1 else ()
        return _Course(order, min(order.most_tokens or room, room), keys, list(order.tokens))

    def _count(self, course: _Course, fruitful: bool, error: BackendFailed) -> None:
        """Of a try that failed. Raises: BackendFailed when it was one too many."""
        course.tries = 0 if fruitful else course.tries + 1
        if course.tries == TRIES:
            raise BackendFailed(f"{TRIES} tries in a row brought no token; the last: {error}") from error
        self._state.moved += 1

    async def _choose(self, course: _Course) -> Member:
        """The best worker for an order, as soon as there is one. Raises: BackendFailed, BackendUnavailable."""
        while True:
            if self._against:
                raise BackendFailed(self._against)
            able = [member for member in self._members if member not in course.unfit]
            if not able and course.error is not None:
                raise course.error
            states = [(member, member.worker.state()) for member in able]
            if alive := [member for member, state in states if state.alive]:
                now = self._clock()
                return min(alive, key=lambda member: member.rank(course.keys, now))
            if all(state.lost for _, state in states):
                raise BackendFailed(f"no worker is left: {_failures(able)}")
            await self._wait(course.order, able)

    async def _wait(self, order: Order, able: Sequence[Member]) -> None:
        """Until workers have come or gone."""
        try:
            await asyncio.wait_for(self._news.wait(), order.left())
        except asyncio.TimeoutError:
            why = f"no worker came back before the deadline: {_failures(able)}"
            raise BackendFailed(why) from None

    async def _begin(self, member: Member, course: _Course) -> Portions:
        """Portions of this worker, or of another that is tried as well and is faster."""
        first, late = self._run(member, course), self._delay.seconds
        if late is None or course.tokens or course.answer > self._settings.hedge_tokens:
            return first
        head, run = await race(first, late, lambda: self._rival(member, course))
        self._state.hedges_won += run is not first
        return _behind(head, run)

    def _rival(self, first: Member, course: _Course) -> Portions | None:
        """A second worker's portions, where one has nothing better to do."""
        others = [one for one in self._members if one is not first and one not in course.unfit]
        now = self._clock()
        ranks = [(one.rank((), now), index) for index, one in enumerate(others) if one.worker.state().alive]
        if not ranks or max(min(ranks)[0][:2]):  # it cools down, or is full
            return None
        self._state.hedged += 1
        return self._run(others[min(ranks)[1]], course)

    async def _run(self, member: Member, course: _Course) -> Portions:
        """One worker's portions, in its accounts."""
        order = course.onward()
        load = member.give(course.keys, len(order.prompt) + course.answer)
        begun = None if order.tokens else self._clock()
        try:
            async with aclosing(member.worker.stream(order)) as portions:
                async for portion in portions:
                    if begun is not None:
                        self._delay.came(self._clock() - begun)
                        begun = None
                    load.came(len(portion.tokens))
                    if portion.end is not None:
                        load.end()
                    yield portion
        except BackendFailed:
            member.failed(self._clock())
            raise
        except BackendUnavailable:
            course.unfit.append(member)
            raise
        finally:
            load.end()


async def _behind(head: Portion, rest: Portions) -> Portions:
    """All portions again, when the first one has been taken."""
    async with aclosing(rest):
        yield head
        async for portion in rest:
            yield portion


def _failures(members: Sequence[Member]) -> str:
    """What the workers say of themselves."""
    told = ((member.worker.name, member.worker.state().failures) for member in members)
    return "; ".join(f"{name}: {failures[-1] if failures else 'is not alive'}" for name, failures in told)
