"""The guard of a store: nothing raised, nobody kept waiting, a store that fails left alone for a while."""

import asyncio

import pytest
import structlog

from edgellm.errors import StoreFailed
from edgellm.serve.cache.guard import Breaker, Guard
from edgellm.serve.cache.stores import Entry, Figures

KEY = bytes(32)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Store:
    """Does as it is told: answers, fails, hangs."""

    name = "told"

    def __init__(self):
        self.calls, self.error, self.hangs = [], None, False

    async def _act(self, name, result):
        self.calls.append(name)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise StoreFailed(self.error)
        return result

    async def get(self, model, key):
        return await self._act("get", b"value")

    async def put(self, entries):
        return await self._act("put", None)

    async def drop(self, model, key):
        return await self._act("drop", None)

    async def clear(self, model=None):
        return await self._act("clear", 3)

    async def figures(self):
        return await self._act("figures", Figures(1, 2))

    async def close(self):
        self.calls.append("close")


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(store, clock):
    return Guard(store, 0.02, clock)


def test_what_works_is_passed_on(guard, store):
    async def main():
        entry = Entry("d", KEY, b"x")
        return [
            await guard.get("d", KEY),
            await guard.put([entry]),
            await guard.drop("d", KEY),
            await guard.clear("d"),
            await guard.figures(),
            await guard.close(),
        ]

    assert asyncio.run(main()) == [b"value", True, True, 3, Figures(1, 2), None]
    assert (guard.name, guard.reason, guard.failures) == ("told", "", 0)
    assert store.calls == ["get", "put", "drop", "clear", "figures", "close"]


def test_what_fails_is_nothing(guard, store):
    store.error = "the disk is full"

    async def main():
        return [await guard.get("d", KEY), await guard.put([]), await guard.clear(), await guard.figures()]

    assert asyncio.run(main()) == [None, False, None, None]
    assert guard.reason == "the disk is full"


def test_a_store_that_failed_is_left_alone_longer_each_time_and_then_tried_once(guard, store, clock):
    store.error = "gone"

    async def tries(times):
        store.calls.clear()
        for _ in range(times):
            await guard.get("d", KEY)
        return len(store.calls)

    async def main():
        assert await tries(5) == 1
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            clock.now += pause - 0.01
            assert await tries(3) == 0
            clock.now += 0.02
            assert await tries(3) == 1
        store.error = None
        clock.now += 61
        assert await guard.get("d", KEY) == b"value"
        assert await tries(3) == 3
        store.error = "again"
        assert await tries(3) == 1
        clock.now += 1.01
        assert await tries(3) == 1  # the pause is short again

    asyncio.run(main())


def test_one_of_many_at_a_time_tries_again(guard, store, clock):
    """While it has no answer yet, the others go without."""
    store.error = "gone"

    async def main():
        await guard.get("d", KEY)
        store.error, store.hangs = None, True
        clock.now += 1.5
        store.calls.clear()
        await asyncio.gather(*(guard.get("d", KEY) for _ in range(20)))
        assert store.calls == ["get"]

    asyncio.run(main())


def test_reading_and_writing_fail_apart(guard, store):
    async def main():
        store.error = "read-only"
        assert await guard.put([]) is False
        store.error = None
        assert await guard.get("d", KEY) == b"value"
        assert await guard.put([]) is False

    asyncio.run(main())
    assert store.calls == ["put", "get"]
    assert guard.reason == "read-only"


def test_an_operator_clears_also_what_is_left_alone(guard, store):
    async def main():
        store.error = "gone"
        await guard.put([])
        store.error = None
        return await guard.clear()

    assert asyncio.run(main()) == 3
    assert guard.reason == ""


def test_a_store_that_hangs_is_waited_for_briefly(guard, store):
    store.hangs = True

    async def main():
        async with asyncio.timeout(20):
            return [await guard.get("d", KEY) for _ in range(3)]

    assert asyncio.run(main()) == [None, None, None]
    assert store.calls == ["get"]
    assert guard.reason == "told: no answer within 0.02 s"


def test_who_is_cancelled_says_nothing_about_the_store(guard, store):
    store.hangs = True

    async def main():
        task = asyncio.create_task(guard.get("d", KEY))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert guard.reason == ""


def test_the_beginning_and_the_end_of_a_failure_are_told_once(guard, store, clock):
    async def main():
        store.error = "gone"
        for _ in range(4):
            await guard.get("d", KEY)
            clock.now += 100
        store.error = None
        for _ in range(4):
            await guard.get("d", KEY)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(main())
    assert lines == [
        {"event": "cache.failed", "log_level": "warning", "store": "told", "reason": "gone"},
        {"event": "cache.works", "log_level": "info", "store": "told"},
    ]
    assert guard.failures == 4


def test_breaker_is_closed_at_first(clock):
    assert Breaker(clock).lets_through()
