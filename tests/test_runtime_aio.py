"""The engine under asyncio: many answers at once, cancelled tasks, broken devices, an event loop that stays awake."""

import asyncio
import time

import pytest
from shapes import TINY
from test_runtime_engine import MODEL, Breaking, golden, native, some_jobs
from toy import EOS, Parrot

from edgellm.errors import BackendFailed, UsageError
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime.aio import AsyncEngine
from edgellm.runtime.device import Job
from edgellm.runtime.engine import Engine, Request


@pytest.fixture
def opened():
    """Makes an asynchronous engine of openers, and closes it."""
    made = []

    def make(*openers):
        engine = Engine(list(openers))
        made.append(AsyncEngine(engine))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.engine.close()


async def answer(engine, job, **more):
    return [token async for part in engine.start(Request(job, **more))[1] for token in part]


def test_many_answers_at_once(opened):
    engine, judge, jobs = opened(native), GoldenModel(MODEL), list(some_jobs(60, 4))

    async def main():
        return await asyncio.gather(*(answer(engine, job) for job in jobs))

    assert asyncio.run(main()) == [golden(judge, job)[0] for job in jobs]
    assert (engine.engine.busy, engine.engine.queued) == (0, 0)


@pytest.mark.parametrize("openers", [[native], [lambda: Breaking(3, "poll"), native]])
def test_an_answer_as_a_whole_is_one_portion(opened, openers):
    engine, judge, jobs = opened(*openers), GoldenModel(MODEL), [Job([4, 9, one], 12) for one in range(8)]

    async def one(job):
        return [part async for part in engine.start(Request(job), whole=True)[1]]

    async def main():
        return await asyncio.gather(*map(one, jobs))

    assert asyncio.run(main()) == [[golden(judge, job)[0]] for job in jobs]


def test_nobody_is_woken_before_the_end_of_a_whole_answer():
    engine, woken = Engine([lambda: Parrot(b"abc")]), []
    job = Job([1], 100, frozenset([EOS]))
    answer = engine.submit(Request(job), lambda: woken.append(answer.done), whole=True)
    parts = engine.submit(Request(job), lambda: woken.append(parts.done))
    engine.cancel(parts)
    assert woken == [True]
    while not answer.done:
        engine.pump()
    assert (answer.tokens, woken) == (list(b"abc"), [True, True])
    engine.close()


def test_it_works_again_after_a_pause(opened):
    engine, job = opened(native), Job([4, 9], 5)
    first = asyncio.run(answer(engine, job))
    time.sleep(0.1)
    assert asyncio.run(answer(engine, job)) == first


def test_a_cancelled_task_frees_its_slot(opened):
    device = Parrot(b"x" * 100_000, slots=1, delay=0.001)
    engine = opened(lambda: device)

    async def main():
        task = asyncio.create_task(answer(engine, Job([1], 100_000)))
        while not device.seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await answer(engine, Job([2], 3))

    assert asyncio.run(main()) == [ord("x")] * 3
    assert device.cancelled == 1


def test_an_iterator_that_is_left_frees_its_slot(opened):
    engine = opened(native)

    async def main():
        parts = engine.start(Request(Job([4, 9], 20)))[1]
        await parts.__anext__()
        await parts.aclose()
        return await answer(engine, Job([4, 9], 20))

    assert asyncio.run(main()) == golden(GoldenModel(MODEL), Job([4, 9], 20))[0]


def test_the_event_loop_stays_awake_beside_a_slow_device(opened):
    device = Parrot(b"abc", slots=1, delay=0.1)
    engine = opened(lambda: device)

    async def main():
        tasks = [asyncio.create_task(answer(engine, Job([n], 9))) for n in range(3)]
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert (
        asyncio.run(main()) > 3 * device.given
    )  # it turned many times while the device took its time for each token
    assert device.given == 3 * 4


def test_answers_go_on_elsewhere(opened):
    judge, jobs = GoldenModel(MODEL), list(some_jobs(10, 2))
    engine = opened(lambda: Breaking(3), native)

    async def main():
        return await asyncio.gather(*(answer(engine, job) for job in jobs))

    assert asyncio.run(main()) == [golden(judge, job)[0] for job in jobs]
    assert engine.engine.failures == ["native: the device hangs"]


def test_errors_reach_who_waits(opened):
    engine = opened(lambda: Breaking(2))
    with pytest.raises(BackendFailed, match=r"^the device hangs$"):
        asyncio.run(answer(engine, Job([1], 20)))
    with pytest.raises(UsageError, match="the vocabulary has tokens"):
        asyncio.run(answer(engine, Job([TINY.vocab], 20)))


def test_closing_the_engine_ends_what_waits(opened):
    device = Parrot(b"x" * 100_000, slots=1)
    engine = opened(lambda: device)

    async def main():
        tasks = [asyncio.create_task(answer(engine, Job([n], 100_000))) for n in range(3)]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(engine.engine.close)
        return await asyncio.gather(*tasks, return_exceptions=True)

    for error in asyncio.run(main()):
        assert str(error) == "the engine is closed: open the model again"
    with pytest.raises(BackendFailed, match=r"^the engine is closed: open the model again$"):
        asyncio.run(answer(engine, Job([1], 1)))


def test_a_deadline(opened):
    device = Parrot(b"x" * 1000, slots=1, delay=0.01)
    engine = opened(lambda: device)
    tokens = asyncio.run(answer(engine, Job([1], 1000), deadline=0.5))
    assert 0 < len(tokens) < 1000


def test_an_answer_cancelled_by_somebody_else_ends(opened):
    device = Parrot(b"x" * 100_000, slots=1, delay=0.001)
    engine = opened(lambda: device)

    async def main():
        task = asyncio.create_task(answer(engine, Job([1], 100_000)))
        while not device.given:
            await asyncio.sleep(0.001)
        (running,) = engine.engine._running.values()
        await asyncio.to_thread(engine.engine.cancel, running)
        return await asyncio.wait_for(task, 60)

    assert 0 < len(asyncio.run(main())) < 100_000
