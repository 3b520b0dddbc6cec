"""The recorder: seconds, percentiles, what becomes of requests; and the source that fills it, which changes nothing."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from edgellm.errors import BackendFailed, Overloaded, PromptTooLong, ToolMissing, UsageError
from edgellm.runtime.params import Params
from edgellm.serve.live import ANSWERS, GAPS, HISTORY, Recorder, Seconds, Spread, Watched
from edgellm.serve.orders import End, Order, Portion

END = Portion((), end=End("stop", "native", cached=2))


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


class Source:
    """Gives these; an exception is raised. `step` seconds pass before each."""

    def __init__(self, *portions, clock=None, step=0.0):
        self._portions, self._clock, self._step = portions, clock, step
        self.closed = 0
        self.streams = []  # so that none ends because it is forgotten

    def stream(self, order):
        self.streams.append(self._stream())
        return self.streams[-1]

    async def _stream(self):
        try:
            for portion in self._portions:
                if self._clock:
                    self._clock.now += self._step
                if isinstance(portion, BaseException):
                    raise portion
                yield portion
        finally:
            self.closed += 1


async def read(source, order, most=None):
    got = []
    async with aclosing(source.stream(order)) as portions:
        async for portion in portions:
            got.append(portion)
            if len(got) == most:
                break
    return got


def order(**params):
    return Order((1, 2, 3), Params.of(params), arrived=1000.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder(clock):
    return Recorder(clock=clock)


def test_seconds_are_counted_one_by_one_and_forgotten():
    seconds = Seconds(3)
    seconds.add(10.2, 5)
    seconds.add(10.9, 1)
    assert seconds.each(10.95) == [0, 0, 0]  # it is not over yet
    seconds.add(12.0, 7)
    assert seconds.each(13.0) == [6, 0, 7]
    assert seconds.each(14.5) == [0, 7, 0]
    for second in (20, 21, 22, 23):
        seconds.add(second, 1)
    assert seconds.each(25.0) == [1, 1, 0]  # of 22, 23 and 24
    assert seconds.each(900.0) == [0, 0, 0]


def test_percentiles_are_measurements():
    assert Spread.of([]) == Spread(0, None, None, None)
    assert Spread.of([0.5]) == Spread(1, 0.5, 0.5, 0.5)
    assert Spread.of(range(1, 102)) == Spread(101, 51, 91, 100)


def test_latencies_count_from_the_arrival(recorder, clock):
    portions = [Portion([1, 2]), Portion([3, 4]), Portion([5]), END]
    watched = Watched(Source(*portions, clock=clock, step=0.5), recorder)
    assert asyncio.run(read(watched, order())) == portions
    found = recorder.latencies()
    assert found["first_token"].p50 == 0.5
    assert (found["inter_token"].count, found["inter_token"].p50, found["inter_token"].p99) == (2, 0.5, 0.5)
    assert found["end_to_end"].p50 == 2.0


def test_where_nobody_reads_along_there_is_no_first_token(recorder, clock):
    watched = Watched(Source(Portion([1, 2]), END, clock=clock, step=0.5), recorder)
    asyncio.run(read(watched, replace(order(), whole=True)))
    found = recorder.latencies()
    assert (found["first_token"].count, found["end_to_end"].p50) == (0, 1.0)


def test_a_portion_of_several_tokens_is_as_many_waits(recorder, clock):
    watched = Watched(Source(Portion([1]), Portion([2, 3, 4, 5]), END, clock=clock, step=1.0), recorder)
    asyncio.run(read(watched, order()))
    assert recorder.latencies()["inter_token"].p50 == 0.25


def test_tokens_of_each_second(recorder, clock):
    asyncio.run(read(Watched(Source(Portion([1, 2]), Portion([3]), END), recorder), order()))
    clock.now += 1
    assert recorder.tokens_each_second() == [0] * (HISTORY - 1) + [3]


def test_caches_are_told_apart(recorder):
    for origin in ("generated", "cache", "shared", "cache"):
        end = Portion((), end=End("stop", "native", cached=2, origin=origin))
        asyncio.run(read(Watched(Source(Portion([1]), end), recorder), order()))
    assert recorder.origins == {"generated": 1, "cache": 2, "shared": 1}
    assert (recorder.prompt_tokens, recorder.cached_tokens) == (3, 2)  # of the generated one alone


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Overloaded("full", 1.0), "refused"),
        (UsageError("no"), "invalid"),
        (PromptTooLong("no"), "invalid"),
        (ToolMissing("no"), "invalid"),
        (BackendFailed("broke"), "failed"),
        (ZeroDivisionError(), "failed"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_outcomes_of_errors(recorder, error, outcome):
    source = Source(Portion([1]), error)
    with pytest.raises(type(error)):
        asyncio.run(read(Watched(source, recorder), order()))
    assert recorder.outcomes == {outcome: 1}
    assert (recorder.open, recorder.unbegun, source.closed) == (0, 0, 1)
    assert recorder.latencies()["end_to_end"].count == 0


@pytest.mark.parametrize(
    ("params", "outcome"), [({}, "cancelled"), ({"stop": "."}, "stop"), ({"repeats": 3}, "stop")]
)
def test_outcomes_of_closing(recorder, params, outcome):
    source = Source(Portion([1]), Portion([2]), END)

    async def main():
        await read(Watched(source, recorder), order(**params), most=1)
        assert source.closed == 1  # at once, not when the event loop ends

    asyncio.run(main())
    assert recorder.outcomes == {outcome: 1}


def test_an_answer_that_is_closed_behind_its_end_has_ended(recorder):
    asyncio.run(read(Watched(Source(Portion([1]), END), recorder), order(), most=2))
    assert recorder.outcomes == {"stop": 1}


def test_a_source_that_ends_without_a_word_failed(recorder):
    asyncio.run(read(Watched(Source(Portion([1])), recorder), order()))
    assert recorder.outcomes == {"failed": 1}


def test_what_open_seconds_grow_is_the_mean_of_open(recorder, clock):
    first = recorder.begin(order())
    clock.now += 2
    second = recorder.begin(order())
    clock.now += 1
    assert recorder.open_seconds() == 4  # one for two seconds, two for one
    for seen in (first, second, second):
        recorder.end(seen, "stop")
    clock.now += 10
    assert recorder.open_seconds() == 4


def test_requests_that_go_on(recorder):
    async def main():
        first, second = (
            Watched(Source(Portion([1]), END), recorder).stream(order()),
            Watched(Source(Portion(()), Portion([1]), END), recorder).stream(order()),
        )
        assert recorder.open == 0  # nothing happens before the first portion is asked for
        await anext(first)
        await anext(second)
        assert (recorder.open, recorder.unbegun) == (2, 1)
        await first.aclose()
        await second.aclose()

    asyncio.run(main())
    assert (recorder.open, recorder.unbegun) == (0, 0)


def test_memory_is_bounded(recorder):
    portions = [Portion([1])] * 10
    for _ in range(ANSWERS + 5):
        asyncio.run(read(Watched(Source(*portions, END), recorder), order()))
    found = recorder.latencies()
    assert (found["first_token"].count, found["end_to_end"].count) == (ANSWERS, ANSWERS)
    assert found["inter_token"].count == GAPS
