"""Identical orders fly together: once generated, everybody gets all of it, and nobody's leaving disturbs the others."""

import asyncio
import functools
import gc
import operator
import random
from contextlib import aclosing
from dataclasses import replace

import pytest
from caching import Script, answer, collect, golden_llm, order, until

from edgellm.errors import BackendFailed, Overloaded
from edgellm.runtime.choice import TokenInfo
from edgellm.serve.flights import Flights, _Listener
from edgellm.serve.orders import End, Portion
from edgellm.serve.workers.local import LocalWorker


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(60):
            return await coroutine

    return asyncio.run(bounded())


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_identical_orders_are_generated_once():
    script = Script(*answer(1, 2, 3, queued=0.5))
    flights = Flights(script)

    async def main():
        return await asyncio.gather(*(collect(flights, order(max_tokens=9)) for _ in range(5)))

    found = run(main())
    assert [tokens for tokens, _, _ in found] == [[1, 2, 3]] * 5
    assert [end.origin for _, _, end in found] == ["generated"] + ["shared"] * 4
    assert {end.queued for _, _, end in found} == {0.5}
    assert (len(script.orders), script.closed, flights._flying) == (1, 1, {})


@pytest.mark.parametrize(
    "other",
    [
        order(1, 3),
        order(max_tokens=3),
        order(temperature=1.0),
        order(priority=1),
        order(logprobs=1),
        order(stop="x"),
        order(keep=False),
        order(tokens=(1,)),
    ],
)
def test_different_orders_are_not(other):
    script = Script(*answer(1))

    async def main():
        flights = Flights(script)
        await asyncio.gather(collect(flights, order()), collect(flights, other))

    run(main())
    assert len(script.orders) == 2


def test_nor_are_two_for_which_nobody_can_ask_again():
    script = Script(*answer(1))

    async def main():
        flights = Flights(script)
        await asyncio.gather(*(collect(flights, order(keep=False)) for _ in range(2)))

    run(main())
    assert len(script.orders) == 2


def test_an_order_after_the_end_is_a_new_one():
    script = Script(*answer(1))

    async def main():
        flights = Flights(script)
        return [(await collect(flights, order()))[2].origin for _ in range(2)]

    assert run(main()) == ["generated", "generated"]
    assert len(script.orders) == 2


def test_who_comes_later_gets_what_there_is_at_once_then_the_rest():
    gate = asyncio.Semaphore(0)
    info = TokenInfo(1, 0.0, ())
    script = Script(*(Portion([number], [info]) for number in (1, 2, 3)), *answer(4), gate=gate)

    async def main():
        flights = Flights(script)
        first = asyncio.create_task(collect(flights, order()))
        gate.release()
        gate.release()
        await settle()
        async with aclosing(flights.stream(order())) as portions:
            assert await anext(portions) == Portion([1, 2], [info, info])
            gate.release()
            assert await anext(portions) == Portion([3], [info])
            for _ in range(2):
                gate.release()
            rest = [portion async for portion in portions]
        assert functools.reduce(operator.iadd, (list(portion.tokens) for portion in rest), []) == [4]
        assert rest[-1].end == End("stop", "script", origin="shared")
        assert (await first)[0] == [1, 2, 3, 4]

    run(main())


def test_nothing_begins_before_the_first_portion_is_asked_for():
    script = Script(*answer(1))

    async def main():
        flights = Flights(script)
        flights.stream(order())
        await settle()
        assert not flights._flying

    run(main())
    assert not script.orders


@pytest.mark.parametrize("how", ["close", "cancel"])
@pytest.mark.parametrize("begun", [0, 1])
def test_a_leader_that_hangs_up_does_not_cancel_followers(how, begun):
    gate = asyncio.Semaphore(0)
    script = Script(*answer(1, 2), gate=gate)

    async def main():
        flights = Flights(script)
        portions = flights.stream(order())
        leader = asyncio.create_task(anext(portions))
        await settle()
        follower = asyncio.create_task(collect(flights, order()))
        await settle()
        if begun:
            gate.release()
            await leader
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        if how == "close":
            await portions.aclose()
        for _ in range(3 - begun):
            gate.release()
        tokens, _, end = await follower
        assert (tokens, end.origin) == ([1, 2], "shared")

    run(main())
    assert (len(script.orders), script.closed) == (1, 1)


@pytest.mark.parametrize("begun", [0, 1])
def test_when_nobody_listens_any_more_the_answer_is_cancelled_at_once(begun):
    gate = asyncio.Semaphore(begun)
    script = Script(*answer(1, 2), gate=gate)

    async def main():
        flights = Flights(script)
        listeners = [asyncio.create_task(collect(flights, order())) for _ in range(3)]
        await settle()
        assert script.open == 1
        for number, listener in enumerate(listeners):
            listener.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listener
            assert script.open == (number < 2)
        assert not flights._flying
        gate.release()
        gate.release()
        gate.release()
        assert (await collect(flights, order()))[0] == [1, 2]

    run(main())
    assert len(script.orders) == 2


def test_nobody_joins_an_answer_that_is_being_cancelled():
    begun, closing = [], asyncio.Event()

    class Slow:
        """Takes its time to end."""

        async def stream(self, order):
            begun.append(order)
            try:
                yield Portion([len(begun)])
                await asyncio.Event().wait()
            finally:
                closing.set()
                await asyncio.sleep(0.01)

    async def main():
        flights = Flights(Slow())
        first, second = flights.stream(order()), flights.stream(order())
        await anext(first)
        leaving = asyncio.create_task(first.aclose())
        await closing.wait()
        assert (await anext(second)).tokens == [2]
        await leaving
        await second.aclose()

    run(main())


def test_a_deadline_holds_nothing_when_the_answer_is_there():
    async def main():
        await collect(Flights(Script(*answer(1))), order(deadline=1000.0))
        await settle()
        assert not [one for one in gc.get_objects() if type(one) is _Listener]

    run(main())


def test_a_reader_that_has_enough_closes_and_the_source_is_free():
    script = Script(*answer(1, 2, 3))

    async def main():
        flights = Flights(script)
        async with aclosing(flights.stream(order())) as portions:
            await anext(portions)
        assert script.open == 0

    run(main())
    assert script.closed == 1


def test_a_source_that_takes_its_time_behind_the_end_is_not_cancelled():
    finished = []

    class Slow:
        async def stream(self, order):
            yield Portion([1], end=End("stop", "slow"))
            await asyncio.sleep(0.01)
            finished.append(True)

    async def main():
        await collect(Flights(Slow()), order())
        await until(lambda: finished)

    run(main())


@pytest.mark.parametrize("error", [Overloaded("full", 2.0), BackendFailed("gone"), ValueError("odd")])
@pytest.mark.parametrize("tokens", [(), (1, 2)])
def test_an_error_reaches_all(error, tokens):
    script = Script(*(Portion([token]) for token in tokens), error=error)

    async def main():
        flights = Flights(script)
        found = await asyncio.gather(*(collect(flights, order()) for _ in range(3)), return_exceptions=True)
        assert found == [error] * 3
        assert not flights._flying
        with pytest.raises(type(error)):
            await collect(flights, order())

    run(main())
    assert len(script.orders) == 2


def test_a_flight_that_somebody_else_cancels_is_an_error():
    script = Script(*answer(1), gate=asyncio.Semaphore(0))

    async def main():
        listener = asyncio.create_task(collect(Flights(script), order()))
        await settle()
        next(task for task in asyncio.all_tasks() if task.get_name() == "edgellm-flight").cancel()
        with pytest.raises(BackendFailed, match=r"^the answer was cancelled$"):
            await listener

    run(main())


def test_deadlines_are_each_listeners_own():
    gate = asyncio.Semaphore(0)
    script = Script(*answer(1, 2), gate=gate)

    async def main():
        flights = Flights(script)
        hasty = asyncio.create_task(collect(flights, order(deadline=0.05)))
        await settle()
        patient = asyncio.create_task(collect(flights, order(deadline=50)))
        gate.release()
        tokens, _, end = await hasty
        assert (tokens, end.finish_reason) == ([1], "deadline")
        assert script.open == 1
        gate.release()
        gate.release()
        assert (await patient)[0] == [1, 2]

    run(main())
    (asked,) = script.orders
    assert asked.params.deadline is None
    assert asked.left() > 1e7


def test_the_deadline_of_the_only_listener_cancels_the_answer():
    script = Script(*answer(1), gate=asyncio.Semaphore(0))

    async def main():
        tokens, _, end = await collect(Flights(script), order(deadline=0.02))
        assert (tokens, end.finish_reason, script.open) == ([], "deadline", 0)

    run(main())


def test_a_deadline_that_is_over_begins_nothing():
    script = Script(*answer(1))
    _, _, end = run(collect(Flights(script), order(arrived=0.0, deadline=0.5)))
    assert (end.finish_reason, script.orders) == ("deadline", [])


def test_the_deadline_of_the_service_is_one_too():
    script = Script(*answer(1), gate=asyncio.Semaphore(0))
    asked = replace(order(), deadline=0.02)
    _, _, end = run(collect(Flights(script), asked))
    assert end.finish_reason == "deadline"


def test_a_flight_with_a_real_worker(tmp_path):
    """Whose engine wants a deadline to be a number of seconds."""

    async def main():
        worker = LocalWorker("golden-0", golden_llm(tmp_path / "toy"))
        asked = replace(order(5, 6, max_tokens=7), deadline=60.0)
        want = await collect(worker, asked)
        found = await asyncio.gather(*(collect(Flights(worker), asked) for _ in range(3)))
        assert [one[0] for one in found] == [want[0]] * 3
        await worker.close()

    run(main())


@pytest.mark.parametrize(
    ("first", "second", "times"), [(False, False, 1), (False, True, 1), (True, True, 1), (True, False, 2)]
)
def test_who_reads_along_does_not_wait_for_a_whole_answer(first, second, times):
    script = Script(*answer(1, 2))

    async def main():
        flights = Flights(script)
        orders = [replace(order(), whole=whole) for whole in (first, second, second)]
        found = await asyncio.gather(*(collect(flights, one) for one in orders))
        assert [tokens for tokens, _, _ in found] == [[1, 2]] * 3
        assert not flights._flying

    run(main())
    assert [one.whole for one in script.orders] == [first, second][:times]


def test_a_slow_listener_gets_all_that_it_missed_as_one_portion():
    script = Script(*answer(*range(50)))

    async def main():
        portions = Flights(script).stream(order())
        got = [await anext(portions)]
        await settle()
        await asyncio.sleep(0.01)
        got += [portion async for portion in portions]
        return got

    got = run(main())
    assert functools.reduce(operator.iadd, (list(portion.tokens) for portion in got), []) == list(range(50))
    assert len(got) < 10


class Counting:
    """An answer that depends on the prompt, in random portions at random times; some fail."""

    def __init__(self, rng):
        self.rng, self.open, self.begun = rng, 0, 0

    async def stream(self, order):
        self.begun += 1
        self.open += 1
        try:
            tokens = want(order.prompt)
            while tokens:
                for _ in range(self.rng.randrange(4)):
                    await asyncio.sleep(0)
                size = self.rng.randint(1, 3)
                yield Portion(tokens[:size], end=End("stop", "c") if len(tokens) <= size else None)
                tokens = tokens[size:]
                if order.prompt[0] == 0 and self.rng.random() < 0.2:
                    raise BackendFailed("now and then")
        finally:
            self.open -= 1


def want(prompt):
    return [prompt[0] * 100 + number for number in range(3 + 5 * prompt[0])]


@pytest.mark.parametrize("seed", range(20))
def test_random_joins_and_leaves(seed):
    rng = random.Random(seed)
    counting = Counting(rng)
    flights = Flights(counting)

    async def client():
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        prompt = (rng.randrange(3),)
        patience, tokens = rng.choice([0, 1, 2, 99]), []
        asked = order(*prompt, **({"deadline": 30.0} if rng.random() < 0.5 else {}))
        async with aclosing(flights.stream(asked)) as portions:
            while patience:
                try:
                    portion = await anext(portions)
                except (StopAsyncIteration, BackendFailed):
                    assert prompt == (0,)
                    break
                tokens += portion.tokens
                assert tokens == want(prompt)[: len(tokens)]
                patience -= 1
                if portion.end:
                    assert tokens == want(prompt)
                    return "whole"
        return "left"

    async def main():
        clients = [asyncio.create_task(client()) for _ in range(60)]
        cancelled = rng.sample(clients, 15)
        for one in cancelled:
            await asyncio.sleep(0)
            one.cancel()
        found = await asyncio.gather(*clients, return_exceptions=True)
        for one, what in zip(clients, found, strict=True):
            assert what in ("whole", "left") or (
                one in cancelled and isinstance(what, asyncio.CancelledError)
            )
        assert found.count("whole") > 2
        assert (counting.open, flights._flying) == (0, {})
        assert counting.begun < 60
        assert [task for task in asyncio.all_tasks() if task.get_name() == "edgellm-flight"] == []

    run(main())
