"""Orders for the same answer at the same time fly together: it is generated once, and everybody gets all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from dataclasses import replace

from edgellm.errors import BackendFailed
from edgellm.serve.cache.keys import canonical
from edgellm.serve.orders import End, Order, Portion, Source

DEADLINE, SHARED = "deadline", "shared"
NEVER = 1e8  # s: what a flight has for a deadline; three years


class Flights:
    """See `orders.Source`.

    Who comes later gets what there is, then the rest as it comes. The answer goes on as long as somebody listens. It is
    generated without a deadline: each listener has its own.
    """

    def __init__(self, inner: Source) -> None:
        self._inner = inner
        self._flying: dict[Hashable, _Flight] = {}

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions of the answer; several that came at once are one."""
        if not order.keep or order.tokens:  # nobody else asks for that
            portions = self._inner.stream(order)
            try:
                async for portion in portions:
                    yield portion
            finally:
                await portions.aclose()
            return
        left = order.left()
        if left is not None and left <= 0:
            yield Portion((), end=End(DEADLINE, ""))
            return
        listener = _Listener(self._flight(order), left)
        try:
            while not listener.through:
                if (new := listener.take()) is not None:
                    yield new
                elif not listener.through:
                    await listener.news()
        finally:
            await listener.leave()

    def _flight(self, order: Order) -> _Flight:
        """The one with this answer; a new one where there is none. Who reads along takes no answer that comes as a whole."""
        params = order.params
        key = (order.prompt, canonical(params), params.max_tokens, params.priority)
        flight = self._flying.get((*key, False)) or (self._flying.get((*key, True)) if order.whole else None)
        if flight is None:
            place = (*key, order.whole)
            flight = self._flying[place] = _Flight(lambda: self._flying.pop(place))
            flight.take_off(self._inner.stream(_without_deadline(order)))
        return flight


class _Flight:
    """An answer that is being generated, and who waits for more of it."""

    def __init__(self, landed: Callable[[], object]) -> None:
        """`landed` is called once, when nobody can join any more."""
        self.portions: list[Portion] = []
        self.error: Exception | None = None
        self.over = False
        self.listeners = 0
        self.waiting: list[asyncio.Future[None]] = []
        self._landed = landed
        self._task: asyncio.Task[None] | None = None

    def take_off(self, source: AsyncGenerator[Portion, None]) -> None:
        """Begin; in the context of the caller, whose request it is."""
        self._task = asyncio.create_task(self._fly(source), name="edgellm-flight")

    async def _fly(self, source: AsyncGenerator[Portion, None]) -> None:
        try:
            async for portion in source:
                self.portions.append(portion)
                if portion.end is not None:
                    self._land()
                elif self.waiting:
                    self._tell()
        except Exception as error:
            self.error = error
        except asyncio.CancelledError:
            self.error = BackendFailed("the answer was cancelled")  # for who should still be listening
            raise
        finally:
            self._land()
            await source.aclose()

    async def cancel(self) -> None:
        """End it, since nobody listens any more."""
        self._land()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _land(self) -> None:
        if not self.over:
            self.over = True
            self._landed()
        self._tell()

    def _tell(self) -> None:
        waiting, self.waiting = self.waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


class _Listener:
    """Who wants an answer, from its beginning."""

    def __init__(self, flight: _Flight, left: float | None) -> None:
        """`left`: seconds to its deadline, if there is one."""
        self._flight, self._seen, self._late = flight, 0, False
        self._joined = flight.listeners > 0
        self._news: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = None if left is None else self._loop.call_later(left, self._expire)
        self.through = False  # nothing comes any more
        flight.listeners += 1

    def take(self) -> Portion | None:
        """All that is new, as one portion; None while there is nothing, and where it ends without an end.

        Raises: what the source raised.
        """
        flight, seen = self._flight, self._seen
        count = len(flight.portions)
        if count > seen:
            self._seen = count
            portion = flight.portions[seen] if count == seen + 1 else _merged(flight.portions[seen:])
            return portion if portion.end is None else self._last(portion, portion.end)
        if not flight.over and not self._late:
            return None
        self.through = True
        if flight.error is not None:
            raise flight.error
        return None if flight.over else Portion((), end=End(DEADLINE, ""))

    def _last(self, portion: Portion, end: End) -> Portion:
        self.through = True
        return portion._replace(end=replace(end, origin=SHARED)) if self._joined else portion

    def news(self) -> asyncio.Future[None]:
        """Done when there is something to take, or the deadline is over."""
        self._news = self._loop.create_future()
        self._flight.waiting.append(self._news)
        return self._news

    async def leave(self) -> None:
        """Stop listening; the last one ends the answer."""
        if self._timer is not None:
            self._timer.cancel()
        self._flight.listeners -= 1
        if self._flight.listeners == 0 and not self._flight.over:
            await self._flight.cancel()

    def _expire(self) -> None:
        self._late = True
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _merged(portions: Sequence[Portion]) -> Portion:
    tokens = [token for portion in portions for token in portion.tokens]
    infos = [info for portion in portions for info in portion.infos]
    return Portion(tokens, infos, portions[-1].end)


def _without_deadline(order: Order) -> Order:
    params = order.params
    return replace(
        order, params=params if params.deadline is None else replace(params, deadline=None), deadline=NEVER
    )
