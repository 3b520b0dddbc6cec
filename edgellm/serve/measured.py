"""The source that clients' requests go through first: it counts what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from edgellm.serve import notes
from edgellm.serve.metrics import CYCLES, Tally
from edgellm.serve.orders import End, Order, Portion, Source

ABORT, STOP, GENERATED, SHARED = "abort", "stop", "generated", "shared"


class Measured:
    """See `orders.Source`."""

    def __init__(self, inner: Source, tally: Tally, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` must be the one that `Order.arrived` is of."""
        self._inner, self._tally, self._clock = inner, tally, clock

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions of `inner`."""
        tally, clock = self._tally, self._clock
        between = tally.inter_token.observe
        count, last, end = 0, order.arrived, None
        tally.open += 1
        portions = self._inner.stream(order)
        try:
            async for portion in portions:
                if new := len(portion.tokens):
                    now = clock()
                    if count:
                        between((now - last) / new, new)
                    else:
                        tally.first_token.observe(now - last)
                    count += new
                    last = now
                if portion.end is not None:
                    end = portion.end
                yield portion
        except (GeneratorExit, asyncio.CancelledError) as left:
            if end is None:
                self._left(order, count, isinstance(left, GeneratorExit))
            raise
        except Exception as error:
            tally.failed[type(error).__name__] += 1
            raise
        finally:
            tally.open -= 1
            tally.generation_tokens += count
            notes.add(prompt_tokens=len(order.prompt), tokens=count)
            if end is not None:
                self._ended(order, count, end)
            await portions.aclose()

    def _left(self, order: Order, count: int, closed: bool) -> None:
        """The reader does not want the rest. Who reads text stops as soon as a stop string, or a circle, ends it."""
        if closed and (order.params.stop or order.params.repeats):
            self._succeeded(order, count, STOP)
        else:
            self._tally.finished[ABORT] += 1

    def _succeeded(self, order: Order, count: int, reason: str) -> None:
        tally, prompt = self._tally, len(order.prompt)
        tally.finished[reason] += 1
        tally.prompt_tokens += prompt
        tally.prompt_length.observe(prompt)
        tally.answer_length.observe(count)
        tally.whole.observe(self._clock() - order.arrived)

    def _ended(self, order: Order, count: int, end: End) -> None:
        tally = self._tally
        self._succeeded(order, count, end.finish_reason)
        notes.note(origin=end.origin)
        tally.shared += end.origin == SHARED
        if end.origin == GENERATED:
            tally.queued.observe(end.queued)
            tally.prefix_queries += len(order.prompt)
            tally.prefix_hits += end.cached
            tally.cycles += end.counters.get(CYCLES, 0.0)
