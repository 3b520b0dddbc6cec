"""The queue: limits, turns, deadlines, cancellation, what it counts; and that no wake-up is ever lost."""

import asyncio
import gc
import time

import pytest
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgellm.errors import BackendFailed, Overloaded
from edgellm.runtime.params import Params
from edgellm.serve.orders import End, Order, Portion
from edgellm.serve.scheduler import QueueState, Scheduler
from edgellm.serve.settings import QueueSettings

CONTEXT = 100


class Held:
    """A source whose orders run until they are told to end."""

    def __init__(self):
        self.running, self.begun = {}, []

    async def stream(self, order):
        told = asyncio.get_running_loop().create_future()
        self.running[order.request_id] = told
        self.begun.append(order.request_id)
        try:
            yield Portion((1,))
            await told
            yield Portion((2, 3), end=End("stop", "fake"))
        finally:
            del self.running[order.request_id]

    def finish(self, name):
        self.running[name].set_result(None)


def order(name="", client="", prompt=10, **options):
    options.setdefault("max_tokens", 10)
    return Order((1,) * prompt, Params(**options), client, name)


async def collect(scheduler, one):
    """Tokens and end."""
    tokens, end = [], None
    async for portion in scheduler.stream(one):
        tokens += portion.tokens
        end = portion.end
    return tokens, end


async def settle():
    """Until nothing happens by itself any more."""
    for _ in range(12):
        await asyncio.sleep(0)


class Setup:
    """A scheduler over a held source, and its orders as tasks."""

    def __init__(self, capacity=1, clock=None, **settings):
        self.held, self.capacity = Held(), capacity
        more = {"clock": clock} if clock else {}
        self.scheduler = Scheduler(
            self.held, lambda: self.capacity, CONTEXT, QueueSettings(**settings), **more
        )
        self.tasks = {}

    async def ask(self, *names, **options):
        for name in names:
            self.tasks[name] = asyncio.create_task(collect(self.scheduler, order(name, **options)))
            await settle()

    async def finish(self, *names):
        for name in names:
            self.held.finish(name)
            await settle()


def test_orders_go_to_the_workers_when_there_is_room():
    async def main():
        setup = Setup(capacity=2)
        await setup.ask("a", "b", "c", "d")
        assert setup.held.begun == ["a", "b"]
        await setup.finish("b")
        assert setup.held.begun == ["a", "b", "c"]
        await setup.finish("a", "c", "d")
        for task in setup.tasks.values():
            tokens, end = await task
            assert (tokens, end.finish_reason) == ([1, 2, 3], "stop")
        assert setup.scheduler.state() == QueueState(admitted=4, finished=4)

    asyncio.run(main())


def test_room_is_made_by_the_end_and_not_by_its_reader():
    async def main():
        setup = Setup()
        portions = setup.scheduler.stream(order("a"))
        await anext(portions)
        await setup.ask("b")
        setup.held.finish("a")
        assert (await anext(portions)).end is not None
        await settle()  # nobody reads on
        assert setup.held.begun == ["a", "b"]
        await setup.finish("b")
        await portions.aclose()
        assert setup.scheduler.state() == QueueState(admitted=2, finished=2)

    asyncio.run(main())


def test_nothing_happens_before_the_first_portion_is_asked_for():
    async def main():
        setup = Setup()
        portions = setup.scheduler.stream(order())
        assert setup.scheduler.state() == QueueState()
        await portions.aclose()
        assert setup.scheduler.state() == QueueState()

    asyncio.run(main())


def test_a_full_queue_refuses_before_any_work():
    async def main():
        setup = Setup(most_requests=2)
        await setup.ask("a", "b", "c", "d")
        with pytest.raises(Overloaded) as refused:
            await setup.tasks["d"]
        message = "2 requests wait, and no more may (queue.most_requests): try again in 1 s"
        assert (str(refused.value), refused.value.retry_after) == (message, 1.0)
        state = setup.scheduler.state()
        assert (state.waiting, state.running, state.refused, state.admitted) == (2, 1, 1, 3)
        await setup.finish("a", "b", "c")
        assert setup.held.begun == ["a", "b", "c"]

    asyncio.run(main())


def test_a_queue_full_of_tokens_refuses():
    async def main():
        setup = Setup(most_tokens=45)
        await setup.ask("a", "b")
        await setup.ask("c", max_tokens=None)  # to the end of the context
        message = (
            r"^20 tokens of prompts and answers wait, this request has up to 101, "
            r"and 45 may wait \(queue.most_tokens\): try again in 1 s$"
        )
        with pytest.raises(Overloaded, match=message):
            await setup.tasks["c"]
        await setup.ask("d")
        assert setup.scheduler.state().waiting_tokens == 40
        await setup.finish("a", "b", "d")

    asyncio.run(main())


@pytest.mark.parametrize(("each", "want"), [(0.1, 1.0), (2.0, 6.0), (50.0, 60.0)])
def test_when_to_come_again_follows_the_rate_of_ends(each, want):
    async def main():
        now = [0.0]
        setup = Setup(clock=lambda: now[0], most_requests=3)
        await setup.ask("0")
        for name in "1234":
            await setup.ask(name)
            now[0] += each
            await setup.finish(str(int(name) - 1))
        await setup.ask("5", "6", "7", "8")
        with pytest.raises(Overloaded, match=f"try again in {want:.0f} s$") as refused:
            await setup.tasks["8"]
        assert refused.value.retry_after == pytest.approx(want)
        await setup.finish("4", "5", "6", "7")

    asyncio.run(main())


def test_a_deadline_that_passes_in_the_queue_ends_the_order_without_a_worker():
    async def main():
        setup = Setup()
        await setup.ask("a")
        await setup.ask("b", deadline=0.02)
        tokens, end = await setup.tasks["b"]
        assert (tokens, end.finish_reason, end.queued > 0) == ([], "deadline", True)
        await setup.finish("a")
        assert setup.held.begun == ["a"]
        assert setup.scheduler.state() == QueueState(admitted=2, finished=1, expired=1)

    asyncio.run(main())


def test_orders_without_a_deadline_get_the_one_of_the_settings():
    async def main():
        setup = Setup(deadline=0.02)
        await setup.ask("a")
        await setup.ask("b")
        await setup.ask("c", deadline=60.0)
        assert (await setup.tasks["b"])[1].finish_reason == "deadline"
        await setup.finish("a", "c")
        assert setup.held.begun == ["a", "c"]

    asyncio.run(main())


def test_the_workers_know_the_deadline():
    class Asked:
        async def stream(self, order):
            assert 6 < order.left() <= 7
            yield Portion((), end=End("stop", "fake"))

    scheduler = Scheduler(Asked(), lambda: 1, CONTEXT, QueueSettings(deadline=7.0))
    assert asyncio.run(collect(scheduler, order()))[1].finish_reason == "stop"


def test_a_cancelled_order_leaves_at_once_and_never_runs():
    async def main():
        setup = Setup(most_requests=1)
        await setup.ask("a", "b")
        setup.tasks["b"].cancel()
        await settle()
        assert setup.scheduler.state().waiting == 0
        await setup.ask("c")
        await setup.finish("a", "c")
        assert setup.held.begun == ["a", "c"]
        assert setup.scheduler.state() == QueueState(admitted=3, finished=2, cancelled=1)

    asyncio.run(main())


def test_a_cancelled_order_at_a_worker_makes_room():
    async def main():
        setup = Setup()
        await setup.ask("a", "b")
        setup.tasks["a"].cancel()
        await settle()
        assert (setup.held.begun, list(setup.held.running)) == (["a", "b"], ["b"])
        await setup.finish("b")

    asyncio.run(main())


def test_an_order_that_is_cancelled_when_its_turn_has_just_come_makes_room():
    async def main():
        setup = Setup()
        await setup.ask("a", "b", "c")
        setup.capacity = 2
        setup.scheduler.wake()
        setup.tasks["b"].cancel()  # before it could notice that it may run
        await settle()
        assert setup.held.begun == ["a", "c"]
        await setup.finish("a", "c")

    asyncio.run(main())


def test_an_order_that_is_cancelled_just_before_its_turn_makes_room():
    async def main():
        setup = Setup()
        await setup.ask("a", "b", "c")
        setup.tasks["b"].cancel()  # and still in the queue
        setup.capacity = 2
        setup.scheduler.wake()
        await settle()
        assert setup.held.begun == ["a", "c"]
        await setup.finish("a", "c")
        assert setup.scheduler.state() == QueueState(admitted=3, finished=2, cancelled=1)

    asyncio.run(main())


def test_a_deadline_that_passes_in_the_moment_of_the_turn_is_the_worker_s_concern():
    async def main():
        setup = Setup()
        await setup.ask("a")
        await setup.ask("b", deadline=0.01)
        setup.held.finish("a")
        time.sleep(0.05)  # so that the loop finds the end and the deadline together
        await settle()
        await setup.finish("b")
        assert (await setup.tasks["b"])[1].finish_reason == "stop"
        assert setup.scheduler.state() == QueueState(admitted=2, finished=2)

    asyncio.run(main())


def test_a_failure_reaches_who_asked_and_makes_room():
    async def main():
        setup = Setup()
        await setup.ask("a", "b")
        setup.held.running["a"].set_exception(BackendFailed("broken"))
        await settle()
        with pytest.raises(BackendFailed, match=r"^broken$"):
            await setup.tasks["a"]
        await setup.finish("b")
        assert setup.scheduler.state() == QueueState(admitted=2, finished=1, failed=1)

    asyncio.run(main())


def test_priority_first_then_shares_then_arrival():
    async def main():
        setup = Setup()
        await setup.ask("running")
        await setup.ask("a1", "a2", "a3", client="a")
        await setup.ask("b1", client="b")
        await setup.ask("urgent", client="a", priority=1)
        await setup.finish("running", "urgent")
        for _ in range(4):
            await setup.finish(*setup.held.running)
        # what is urgent counts for a's share as well
        assert setup.held.begun == ["running", "urgent", "b1", "a1", "a2", "a3"]

    asyncio.run(main())


def test_growing_capacity_wakes():
    async def main():
        setup = Setup(capacity=0)
        await setup.ask("a", "b", "c")
        assert setup.held.begun == []
        setup.capacity = 2
        setup.scheduler.wake()
        await settle()
        assert setup.held.begun == ["a", "b"]
        await setup.finish("a", "b", "c")

    asyncio.run(main())


def test_time_in_the_queue_is_told():
    async def main():
        now, seen = [5.0], []
        setup = Setup(clock=lambda: now[0])
        setup.scheduler.observers.append(seen.append)
        await setup.ask("a", "b")
        now[0] = 7.5
        await setup.finish("a", "b")
        assert [(await task)[1].queued for task in setup.tasks.values()] == [0.0, 2.5]
        assert seen == [0.0, 2.5]

    asyncio.run(main())


def test_a_shut_queue_lets_nobody_in_and_gets_empty():
    async def main():
        setup = Setup()
        await setup.ask("a", "b")
        setup.scheduler.shut("the service is being stopped")
        idle = asyncio.create_task(setup.scheduler.idle())
        with pytest.raises(Overloaded, match=r"^the service is being stopped: try again in 1 s$"):
            await collect(setup.scheduler, order("c"))
        await setup.finish("a")
        assert not idle.done()
        await setup.finish("b")
        assert idle.done()

    asyncio.run(main())


class Machine(RuleBasedStateMachine):
    """Random arrivals, ends, failures, cancellations and capacities."""

    @initialize(requests=st.integers(1, 6), tokens=st.integers(20, 300), capacity=st.integers(0, 3))
    def begin(self, requests, tokens, capacity):
        self.loop = asyncio.new_event_loop()
        self.most = (requests, tokens)
        self.setup = Setup(capacity, most_requests=requests, most_tokens=tokens)
        self.lines, self.ends, self.left = {}, [], set()

    def turn(self):
        self.loop.run_until_complete(settle())

    @rule(
        client=st.sampled_from("abc"),
        priority=st.integers(0, 2),
        prompt=st.integers(1, 50),
        tokens=st.integers(1, 50),
    )
    def arrive(self, client, priority, prompt, tokens):
        name = str(len(self.setup.tasks))
        one = order(name, client, prompt, max_tokens=tokens, priority=priority)
        self.setup.tasks[name] = task = self.loop.create_task(collect(self.setup.scheduler, one))
        task.add_done_callback(lambda _: self.ends.append(name))
        self.lines.setdefault((client, priority), []).append(name)
        self.turn()

    def some(self, data, of):
        return data.draw(st.sampled_from(sorted(of)))

    @precondition(lambda self: self.setup.held.running)
    @rule(data=st.data(), fails=st.booleans(), meanwhile=st.booleans())
    def end(self, data, fails, meanwhile):
        told = self.setup.held.running[self.some(data, self.setup.held.running)]
        if told.done():  # cancelled, and nobody noticed yet
            return
        if fails:
            told.set_exception(BackendFailed("broken"))
        else:
            told.set_result(None)
        if not meanwhile:  # otherwise the next rule acts before anybody noticed
            self.turn()

    @precondition(lambda self: len(self.ends) < len(self.setup.tasks))
    @rule(data=st.data(), meanwhile=st.booleans())
    def cancel(self, data, meanwhile):
        name = self.some(data, set(self.setup.tasks) - set(self.ends))
        self.setup.tasks[name].cancel()
        self.left.add(name)
        if not meanwhile:
            self.turn()

    @rule(capacity=st.integers(0, 3))
    def change(self, capacity):
        self.setup.capacity = capacity
        self.setup.scheduler.wake()

    @invariant()
    def limits_hold(self):
        state = self.setup.scheduler.state()
        assert state.waiting <= self.most[0]
        assert state.waiting_tokens <= self.most[1]
        assert not state.waiting or state.running >= self.setup.capacity  # no wake-up is lost

    @invariant()
    def everything_is_counted_once(self):
        state = self.setup.scheduler.state()
        ended = state.finished + state.expired + state.cancelled + state.failed
        assert state.admitted == ended + state.waiting + state.running
        assert len(self.ends) == len(set(self.ends))

    @invariant()
    def first_come_first_served_within_a_client_and_priority(self):
        place = {name: index for index, name in enumerate(self.setup.held.begun)}
        for line in self.lines.values():
            begun = [place[name] for name in line if name in place]
            assert begun == sorted(begun)

    def teardown(self):
        if not hasattr(self, "loop"):
            return
        self.setup.capacity = 1
        self.setup.scheduler.wake()
        self.turn()
        for _ in range(len(self.setup.tasks)):
            for told in self.setup.held.running.values():
                told.done() or told.set_result(None)
            self.turn()
        state = self.setup.scheduler.state()
        assert all(task.done() for task in self.setup.tasks.values())
        assert (state.waiting, state.running) == (0, 0)
        assert len(self.ends) == len(self.setup.tasks) == state.admitted + state.refused
        self.loop.run_until_complete(self.setup.scheduler.idle())
        [task.cancelled() or task.exception() for task in self.setup.tasks.values()]
        self.loop.close()


TestMachine = Machine.TestCase
TestMachine.settings = examples(max_examples=80, stateful_step_count=40)


def test_nothing_is_kept_of_what_has_ended():
    async def main():
        setup = Setup(capacity=2)
        for name in range(50):
            await setup.ask(str(name))
        for name in range(50):
            await setup.finish(str(name))
        setup.tasks.clear()

    asyncio.run(main())
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Order) and one.request_id == "7"]
