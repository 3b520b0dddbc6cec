"""What a model did lately: a recorder, and the source that fills it. `/live` and the page read it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from edgellm.errors import Overloaded, PromptError, ToolMissing, UsageError
from edgellm.serve.orders import End, Order, Portion, Source

HISTORY = 60  # seconds that tokens are counted for, one by one
ANSWERS = 512  # last ones that latencies are told of
GAPS = 2048  # last waits between portions
CANCELLED, REFUSED, INVALID, FAILED = "cancelled", "refused", "invalid", "failed"


@dataclass(slots=True)
class Spread:
    """Percentiles of the last `count` measurements, in seconds; None where there are none."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread:
        """Percentiles, each an element of `seconds`."""
        values = list(seconds)
        if not values:
            return cls()
        low, high, top = np.percentile(values, (50, 90, 99), method="higher")
        return cls(len(values), float(low), float(high), float(top))


class Seconds:
    """How many of something there were in each of the last seconds. Times are seconds of one clock that never goes back."""

    def __init__(self, length: int = HISTORY) -> None:
        self._counts = [0] * (length + 1)  # and the second that is not over yet
        self._now = 0

    def add(self, now: float, count: int) -> None:
        """`count` of them came just now."""
        self._move(int(now))
        self._counts[self._now % len(self._counts)] += count

    def each(self, now: float) -> list[int]:
        """Counts of the seconds that are over, the oldest first."""
        self._move(int(now))
        first, length = self._now + 1, len(self._counts)
        return [self._counts[second % length] for second in range(first, first + length - 1)]

    def _move(self, now: int) -> None:
        if now == self._now:
            return
        length = len(self._counts)
        for second in range(max(self._now + 1, now - length + 1), now + 1):
            self._counts[second % length] = 0
        self._now = now


@dataclass(slots=True)
class Seen:
    """A request that goes on. Times are of the recorder's clock."""

    order: Order
    begun: bool = False  # has tokens
    last: float = 0.0  # when its last portion came
    over: bool = False


@dataclass(slots=True)
class Gauges:
    """What others can be asked about a model; None where nobody knows."""

    waiting: Callable[[], int] | None = None  # requests in the queue
    stored: Callable[[], int] | None = None  # answers in the response cache


class Recorder:
    """Figures of one model since it was loaded. One event loop writes them, so there is no lock."""

    def __init__(self, gauges: Gauges | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` must be the one that `Order.arrived` is of."""
        self.gauges, self.clock = gauges or Gauges(), clock
        self.open = 0  # requests that go on
        self.unbegun = 0  # those of them without a token
        self.outcomes: Counter[str] = Counter()  # finish reasons, and what else becomes of requests
        self.origins: Counter[str] = Counter()  # where finished answers came from
        self.prompt_tokens = 0  # of the answers that a back end generated
        self.cached_tokens = 0  # those of them that were in a prefix cache
        self._open_seconds, self._changed = 0.0, clock()  # up to then
        self._tokens = Seconds()
        self._first: deque[float] = deque(maxlen=ANSWERS)
        self._total: deque[float] = deque(maxlen=ANSWERS)
        self._gaps: deque[float] = deque(maxlen=GAPS)

    def begin(self, order: Order) -> Seen:
        """A request came."""
        self._move(1)
        self.unbegun += 1
        return Seen(order)

    def take(self, seen: Seen, portion: Portion) -> None:
        """A portion of it came."""
        if portion.tokens:
            self._count(seen, len(portion.tokens))
        if portion.end is not None:
            self._finish(seen, portion.end)

    def _count(self, seen: Seen, count: int) -> None:
        now = self.clock()
        self._tokens.add(now, count)
        if seen.begun:
            self._gaps.append((now - seen.last) / count)
        else:
            seen.begun = True
            self.unbegun -= 1
            if not seen.order.whole:  # where nobody reads along, the first token comes with the last
                self._first.append(now - seen.order.arrived)
        seen.last = now

    def _finish(self, seen: Seen, end: End) -> None:
        self._total.append(self.clock() - seen.order.arrived)
        self.origins[end.origin] += 1
        if end.origin == "generated":
            self.prompt_tokens += len(seen.order.prompt)
            self.cached_tokens += end.cached
        self.end(seen, end.finish_reason)

    def end(self, seen: Seen, outcome: str) -> None:
        """A request is over; nothing happens to one that was."""
        if seen.over:
            return
        seen.over = True
        self._move(-1)
        self.unbegun -= not seen.begun
        self.outcomes[outcome] += 1

    def _move(self, change: int) -> None:
        self._open_seconds, self._changed = self.open_seconds(), self.clock()
        self.open += change

    def open_seconds(self) -> float:
        """Seconds that requests went on, of all together: what it grows in a second is the mean of `open`."""
        return self._open_seconds + self.open * (self.clock() - self._changed)

    def tokens_each_second(self) -> list[int]:
        """Of the last `HISTORY` whole seconds, the oldest first."""
        return self._tokens.each(self.clock())

    def latencies(self) -> dict[str, Spread]:
        """From the request to the first token and to the end; between tokens."""
        return {
            "first_token": Spread.of(self._first),
            "inter_token": Spread.of(self._gaps),
            "end_to_end": Spread.of(self._total),
        }


@dataclass(slots=True)
class Watched:
    """A source whose answers are recorded: the outermost one, so that the figures are what clients see."""

    source: Source
    recorder: Recorder = field(default_factory=Recorder)

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """The source's portions, unchanged. Raises: as the source."""
        recorder, portions = self.recorder, self.source.stream(order)
        seen, outcome = recorder.begin(order), FAILED
        try:
            async for portion in portions:
                recorder.take(seen, portion)
                yield portion
        except BaseException as error:
            outcome = _outcome(error, order)
            raise
        finally:
            recorder.end(seen, outcome)
            await portions.aclose()


def _outcome(error: BaseException, order: Order) -> str:
    """What became of an answer that did not come to its end.

    Who writes the text closes the stream where a stop string ends it, which from here looks like any closing.
    """
    if isinstance(error, GeneratorExit):
        return "stop" if order.params.stop or order.params.repeats else CANCELLED
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    if isinstance(error, Overloaded):
        return REFUSED
    return INVALID if isinstance(error, UsageError | PromptError | ToolMissing) else FAILED
