"""Workers as one source: who answers, who goes on, who is tried as well."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import BackendFailed, BackendUnavailable, UsageError
from edgellm.runtime.params import Params
from edgellm.runtime.slots import BLOCK
from edgellm.serve.hedging import LEAST
from edgellm.serve.orders import End, Order, Portion, WorkerState
from edgellm.serve.pool import TRIES, Pool
from edgellm.serve.settings import QueueSettings

CONTEXT = 1000


def golden(order):
    """The tokens of an order: a function of its prompt and params alone."""
    return [(7 * index + sum(order.prompt) + order.params.seed) % 50 for index in range(order.most_tokens)]


class Fake:
    """A worker that follows a script: for each order the tokens that it gives before it fails, or an error, or None."""

    backend = "fake"

    def __init__(self, name="fake-0", script=(), slots=2, size=1):
        self.name, self.slots, self.size = name, slots, size
        self.script, self.seen, self.closed = list(script), [], 0
        self.alive, self.lost, self.failures = True, False, ()
        self.gate = asyncio.Event()
        self.gate.set()

    def state(self):
        return WorkerState(self.alive, failures=self.failures, lost=self.lost)

    async def stream(self, order):
        self.seen.append(order)
        try:
            await self.gate.wait()
            told = self.script.pop(0) if self.script else None
            if isinstance(told, Exception):
                raise told
            rest = golden(order)[len(order.tokens) :]
            for start in range(0, len(rest) if told is None else min(told, len(rest)), self.size):
                await asyncio.sleep(0)
                yield Portion(
                    rest[start : start + self.size if told is None else min(start + self.size, told)]
                )
            if told is not None:
                raise BackendFailed(f"{self.name} is broken")
            yield Portion((), end=End("length", self.name))
        finally:
            self.closed += 1


def order(tokens=6, prompt=(1, 2, 3), **options):
    return Order(tuple(prompt), Params(max_tokens=tokens, **options))


def pool_of(*workers, clock=None, **settings):
    more = {"clock": clock} if clock else {}
    return Pool(workers, CONTEXT, QueueSettings(**settings), **more)


async def collect(pool, one):
    tokens, end = [], None
    async for portion in pool.stream(one):
        assert end is None
        tokens += portion.tokens
        end = portion.end
    return tokens, end


def answers(pool, one):
    return asyncio.run(collect(pool, one))


async def settle():
    for _ in range(12):
        await asyncio.sleep(0)


FAILURES = st.lists(st.one_of(st.none(), st.integers(0, 7)), max_size=6)


@given(
    st.lists(st.tuples(FAILURES, st.integers(1, 4)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 9)), min_size=1, max_size=4),
)
def test_workers_that_fail_at_any_token_change_none(scripts, wanted):
    """Every order has the tokens of an undisturbed run, or those up to a failure that was one too many."""

    async def main():
        workers = [Fake(f"fake-{i}", script, size=size) for i, (script, size) in enumerate(scripts)]
        pool = pool_of(*workers)
        orders = [order(tokens, (number,), seed=seed) for number, (tokens, seed) in enumerate(wanted)]

        async def one(order):
            got = []
            try:
                async for portion in pool.stream(order):
                    got += portion.tokens
                    end = portion.end
            except BackendFailed:
                assert got == golden(order)[: len(got)]
                tries = [one for worker in workers for one in worker.seen if one.prompt == order.prompt]
                assert [len(one.tokens) for one in tries].count(len(got)) == TRIES
            else:
                assert (got, end.finish_reason) == (golden(order), "length")

        await asyncio.gather(*map(one, orders))
        assert all(worker.closed == len(worker.seen) for worker in workers)
        assert all(member.running == member.outstanding == 0 for member in pool.state().members)

    asyncio.run(main())


def test_another_worker_goes_on_behind_the_tokens_so_far():
    first, second = Fake("a", [4]), Fake("b")
    pool = pool_of(first, second)
    one = order(9)
    assert answers(pool, one) == (golden(one), End("length", "b"))
    assert second.seen[0].tokens == tuple(golden(one)[:4])
    assert (pool.state().moved, pool.state().members[0].failures) == (1, 1)


def test_an_order_that_was_begun_elsewhere_goes_on_behind_its_tokens():
    one = order(9)
    begun = Order(one.prompt, one.params, tokens=tuple(golden(one)[:3]))
    assert answers(pool_of(Fake(script=[2])), begun)[0] == golden(one)[3:]


def test_the_only_worker_is_tried_again_though_it_failed():
    worker = Fake(script=[0, 0, 3, 0, 0])
    assert answers(pool_of(worker), order())[0] == golden(order())


def test_tries_without_a_token_are_bounded():
    workers = [Fake("a", [0, 0]), Fake("b", [0])]
    message = r"^3 tries in a row brought no token; the last: [ab] is broken$"
    with pytest.raises(BackendFailed, match=message):
        answers(pool_of(*workers), order())
    assert sum(len(worker.seen) for worker in workers) == TRIES


def test_a_failed_worker_is_left_alone_until_it_has_cooled_down():
    now = [0.0]
    first, second = Fake("a", [0]), Fake("b")
    pool = pool_of(first, second, clock=lambda: now[0], cool_down=5.0)
    for _ in range(3):
        answers(pool, order())
    assert (len(first.seen), len(second.seen)) == (1, 3)
    now[0] = 5.0
    answers(pool, order())
    assert len(first.seen) == 2


def test_the_least_outstanding_work():
    async def main():
        first, second = Fake("a"), Fake("b")
        pool = pool_of(first, second)
        async with aclosing(pool.stream(order(50))) as long:
            await anext(long)
            await collect(pool, order(5))
            async with aclosing(pool.stream(order(5))) as short:
                await anext(short)
                await collect(pool, order(5))
        assert (len(first.seen), len(second.seen)) == (1, 3)

    asyncio.run(main())


def test_a_worker_without_a_free_slot_is_not_taken():
    async def main():
        first, second = Fake("a", slots=1), Fake("b", slots=1)
        pool = pool_of(first, second)
        async with aclosing(pool.stream(order(3))) as short, aclosing(pool.stream(order(50))) as long:
            await anext(short)
            await anext(long)
            await collect(pool, order(1))
            await short.aclose()
            await collect(pool, order(1))
        assert [len(worker.seen) for worker in (first, second)] == [3, 1]

    asyncio.run(main())


def test_prefix_affinity():
    first, second = Fake("a"), Fake("b")
    pool = pool_of(first, second)
    asyncio.run(collect(pool, order(prompt=[1] * 40)))

    async def main():
        async with aclosing(pool.stream(order(2, prompt=(9,)))) as other:
            await anext(other)  # a has something to do, and the prefix
            await collect(pool, order(prompt=[1] * 2 * BLOCK + [5] * 20))
            await collect(pool, order(prompt=[2] * 40))

    asyncio.run(main())
    assert [len(worker.seen) for worker in (first, second)] == [3, 1]


def test_params_that_a_worker_cannot_follow_go_to_one_that_can():
    first, second = Fake("a", [BackendUnavailable("a gives tokens only")]), Fake("b")
    pool = pool_of(first, second)
    assert answers(pool, order())[1].backend == "b"
    assert pool.state().members[0].cooling == 0
    alone = Fake("a", [BackendUnavailable("a gives tokens only")])
    with pytest.raises(BackendUnavailable, match=r"^a gives tokens only$"):
        answers(pool_of(alone), order())


def test_what_is_wrong_with_an_order_is_tried_once():
    first, second = Fake("a", [UsageError("no such token")]), Fake("b")
    with pytest.raises(UsageError, match="no such token"):
        answers(pool_of(first, second), order())
    assert not second.seen


def test_an_order_waits_for_a_worker_to_come_back():
    async def main():
        worker, woken = Fake(), []
        pool = pool_of(worker)
        pool.listeners.append(lambda: woken.append(pool.capacity()))
        worker.alive = False
        task = asyncio.create_task(collect(pool, order()))
        await settle()
        pool.changed()
        await settle()
        assert not task.done()
        worker.alive = True
        pool.changed()
        assert (await task)[0] == golden(order())
        assert woken == [2, 2]

    asyncio.run(main())


def test_no_worker_within_the_deadline():
    async def main():
        worker = Fake()
        worker.alive, worker.failures = False, ("it broke", "it broke again")
        message = r"^no worker came back before the deadline: fake-0: it broke again$"
        with pytest.raises(BackendFailed, match=message):
            await collect(pool_of(worker), order(deadline=0.02))

    asyncio.run(main())


def test_no_worker_is_left():
    first, second = Fake("a"), Fake("b")
    for worker in (first, second):
        worker.alive, worker.lost = False, True
    with pytest.raises(BackendFailed, match=r"^no worker is left: a: is not alive; b: is not alive$"):
        answers(pool_of(first, second), order())


def test_capacity_is_that_of_the_living():
    first, second = Fake("a", slots=3), Fake("b", slots=4)
    pool = pool_of(first, second)
    assert pool.capacity() == 7
    first.alive = False
    assert pool.capacity() == 4
    second.alive = False  # orders come in and wait
    assert pool.capacity() == 7


def hedging_pool(*workers):
    """All first tokens so far were there at once, so that the next one is late at once."""
    pool = pool_of(*workers, clock=lambda: 0.0, hedge_tokens=10)
    for _ in range(LEAST):
        answers(pool, order())
    for worker in workers:
        worker.seen.clear()
        worker.closed = 0
    return pool


def test_a_late_first_token_is_asked_of_a_second_worker():
    async def main():
        first.gate.clear()
        one = order()
        assert (await collect(pool, one)) == (golden(one), End("length", "b"))
        assert (len(first.seen), first.closed) == (1, 1)

    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    asyncio.run(main())
    state = pool.state()
    assert (state.hedged, state.hedges_won, state.members[0].failures) == (1, 1, 0)
    assert all(member.running == member.outstanding == 0 for member in state.members)


def test_the_first_worker_may_still_win():
    async def main():
        first.gate.clear()
        second.gate.clear()
        task = asyncio.create_task(collect(pool, order()))
        await settle()
        first.gate.set()
        assert (await task)[1].backend == "a"
        assert (second.seen, second.closed) != ([], 0)

    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    asyncio.run(main())
    assert (pool.state().hedged, pool.state().hedges_won) == (1, 0)


@pytest.mark.parametrize("fails", ["a", "b"])
def test_when_one_of_two_fails_the_other_is_waited_for(fails):
    async def main():
        first.gate.clear()
        second.gate.clear()
        task = asyncio.create_task(collect(pool, order()))
        await settle()
        broken, other = (first, second) if fails == "a" else (second, first)
        broken.script = [0]
        broken.gate.set()
        await settle()
        other.gate.set()
        assert await task == (golden(order()), End("length", other.name))

    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    asyncio.run(main())
    assert pool.state().moved == 0


def test_both_fail():
    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    first.script, second.script = [0], [0]
    assert answers(pool, order())[0] == golden(order())


def test_who_goes_away_while_two_are_tried_frees_both():
    async def main():
        first.gate.clear()
        second.gate.clear()
        task = asyncio.create_task(collect(pool, order()))
        await settle()
        assert (len(first.seen), len(second.seen)) == (1, 1)
        task.cancel()
        await asyncio.wait([task])
        assert (first.closed, second.closed) == (1, 1)

    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    asyncio.run(main())
    assert all(member.running == 0 for member in pool.state().members)


@pytest.mark.parametrize("why", ["long", "busy", "cooling", "dead", "begun"])
def test_no_second_worker(why):
    async def main():
        first.gate.clear()
        if why == "busy":
            second.slots = 0
        second.alive = why != "dead"
        one = order(11 if why == "long" else 10)
        if why == "begun":  # its first token is not to be waited for any more
            one = Order(one.prompt, one.params, tokens=tuple(golden(one)[:1]))
        task = asyncio.create_task(collect(pool, one))
        await settle()
        assert not second.seen
        first.gate.set()
        assert (await task)[1].backend == "a"

    first, second = Fake("a"), Fake("b")
    pool = hedging_pool(first, second)
    if why == "cooling":
        pool._members[1].failed(0.0)
    asyncio.run(main())
    assert pool.state().hedged == 0


def test_a_reader_that_goes_away_frees_the_worker():
    async def main():
        worker = Fake()
        pool = pool_of(worker)
        portions = pool.stream(order(50))
        await anext(portions)
        await portions.aclose()
        assert worker.closed == 1
        assert pool.state().members[0].outstanding == 0

    asyncio.run(main())
