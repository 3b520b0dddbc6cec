"""The response cache above its store: memory first, checked when read, written behind, cleared at once."""

import asyncio

import pytest
from caching import OWNER, SHAPE, kept, until

from edgellm.errors import StoreFailed
from edgellm.serve.cache import responses
from edgellm.serve.cache.answers import encode
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.responses import Owner, ResponseCache
from edgellm.serve.cache.stores import Figures

KEY, OTHER, LAST = bytes(32), b"\1" * 32, b"\2" * 32
WEEK = 7 * 86_400.0


class Shelf:
    """A store in memory."""

    name = "shelf"

    def __init__(self):
        self.values, self.puts, self.closed, self.failing = {}, [], 0, False
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, model, key):
        if self.failing:
            raise StoreFailed("shelf is gone")
        return self.values.get((model, key))

    async def put(self, entries):
        await self.gate.wait()
        if self.failing:
            raise StoreFailed("shelf is gone")
        self.puts.append(len(entries))
        self.values.update({(one.model, one.key): one.value for one in entries})

    async def drop(self, model, key):
        self.values.pop((model, key), None)

    async def clear(self, model=None):
        gone = [place for place in self.values if model in (None, place[0])]
        for place in gone:
            del self.values[place]
        return len(gone)

    async def figures(self):
        return Figures(len(self.values), sum(map(len, self.values.values())))

    async def close(self):
        self.closed += 1


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def running(act, **options):
    """Run `act(cache, shelf)`; the cache is closed afterwards."""

    async def main():
        shelf = Shelf()
        cache = ResponseCache(Guard(shelf), WEEK, **{"clock": Clock(), **options})
        try:
            return await act(cache, shelf)
        finally:
            shelf.gate.set()
            await cache.close()
            assert shelf.closed == 1

    return asyncio.run(main())


def now(*tokens, **options):
    return kept(*tokens, made=1000.0, **options)


def test_what_is_kept_is_found_at_once_and_later_in_the_store():
    async def main(cache, shelf):
        assert await cache.find(OWNER, KEY, None) is None
        cache.keep(OWNER, KEY, now(1, 2))
        assert await cache.find(OWNER, KEY, None) == now(1, 2)
        await until(lambda: shelf.values)
        assert shelf.values == {("d1", KEY): encode(KEY, now(1, 2))}

    running(main)


def test_what_another_process_stored_is_found_and_then_in_memory():
    async def main(cache, shelf):
        shelf.values["d1", KEY] = encode(KEY, now(1))
        assert await cache.find(OWNER, KEY, None) == now(1)
        shelf.values.clear()
        assert await cache.find(OWNER, KEY, None) == now(1)

    running(main)


def test_a_model_never_finds_the_answers_of_another():
    async def main(cache, shelf):
        cache.keep(OWNER, KEY, now(1))
        await until(lambda: shelf.values)
        assert await cache.find(Owner("toy", "d2", SHAPE), KEY, None) is None

    running(main)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04\x8c\x08builtins\x94.",
        encode(OTHER, now(1)),
        encode(KEY, now(1))[:-5],
        encode(KEY, now(300)),  # beyond the vocabulary
        encode(KEY, now(250)),  # a stop id
        encode(KEY, kept(1, made=1000.0 - WEEK)),  # too old
    ],
)
def test_what_is_not_sound_is_a_miss_and_deleted(raw):
    async def main(cache, shelf):
        shelf.values["d1", KEY] = raw
        assert await cache.find(OWNER, KEY, None) is None
        await until(lambda: not shelf.values)

    running(main)


def test_memory_forgets_what_is_too_old():
    clock = Clock()

    async def main(cache, shelf):
        cache.keep(OWNER, KEY, now(1))
        clock.now += WEEK - 1
        assert await cache.find(OWNER, KEY, None)
        clock.now += 1
        assert await cache.find(OWNER, KEY, None) is None

    running(main, clock=clock)


def test_memory_is_bounded_and_keeps_what_was_used_last():
    async def main(cache, shelf):
        for number in range(100):
            cache.keep(OWNER, number.to_bytes(32, "big"), now(*range(10)))
            cache.remembered(OWNER, bytes(32))
        assert cache.figures().memory.bytes <= 10_000
        assert cache.remembered(OWNER, bytes(32))
        assert not cache.remembered(OWNER, (1).to_bytes(32, "big"))
        cache.keep(OWNER, OTHER, now(*[1] * 1000))  # more than there is room for
        assert not cache.remembered(OWNER, OTHER)

    running(main, memory_bytes=10_000)


def test_a_shorter_answer_never_replaces_a_longer_one():
    async def main(cache, shelf):
        for answer in (
            now(1, 2, reason="length"),
            now(1, reason="length"),
            now(1, 2, 3),
            now(1, 2, reason="length"),
        ):
            cache.keep(OWNER, KEY, answer)
        assert cache.remembered(OWNER, KEY) == now(1, 2, 3)
        await until(lambda: shelf.values)
        assert shelf.values["d1", KEY] == encode(KEY, now(1, 2, 3))

    running(main)


def test_writing_is_behind_and_in_batches():
    async def main(cache, shelf):
        shelf.gate.clear()
        for number in range(300):
            cache.keep(OWNER, number.to_bytes(32, "big"), now(1))
            if number == 0:
                await asyncio.sleep(0.01)
        shelf.gate.set()
        await until(lambda: len(shelf.values) == 300)
        assert shelf.puts == [1, responses.BATCH, 300 - 1 - responses.BATCH]

    running(main)


def test_what_waits_is_bounded_and_close_writes_it_down():
    async def main(cache, shelf):
        shelf.gate.clear()
        for number in range(responses.MOST_WAITING + 10):
            cache.keep(OWNER, number.to_bytes(32, "big"), now(1))
        assert cache.figures().unwritten == 10
        return shelf

    assert len(running(main).values) == responses.MOST_WAITING


def test_a_store_that_fails_leaves_memory():
    async def main(cache, shelf):
        shelf.failing = True
        assert await cache.find(OWNER, KEY, None) is None
        cache.keep(OWNER, KEY, now(1))
        assert await cache.find(OWNER, KEY, None) == now(1)
        await until(lambda: cache.unwritten == 1)
        assert cache.figures().failing == "shelf is gone"

    running(main)


@pytest.mark.parametrize(("digest", "left"), [(None, []), ("d1", ["d2"]), ("d3", ["d1", "d2"])])
def test_clear(digest, left):
    owners = [Owner("one", "d1", SHAPE), Owner("two", "d2", SHAPE)]

    async def main(cache, shelf):
        for owner in owners:
            cache.keep(owner, KEY, now(1))
        await until(lambda: len(shelf.values) == 2)
        shelf.gate.clear()
        for owner in owners:
            cache.keep(owner, OTHER, now(2))
        await asyncio.sleep(0.01)  # they are being written; more waits
        for owner in owners:
            cache.keep(owner, LAST, now(3))
        asyncio.get_running_loop().call_later(0.01, shelf.gate.set)
        gone = await cache.clear(digest)
        assert sorted({place[0] for place in shelf.values}) == left
        found = [
            owner.digest
            for owner in owners
            for key in (KEY, OTHER, LAST)
            if await cache.find(owner, key, None)
        ]
        assert sorted(set(found)) == left
        assert gone >= (digest != "d3") * 2
        await until(lambda: cache._writing.done())
        assert sorted({place[0] for place in shelf.values}) == left

    running(main)


def test_figures():
    async def main(cache, shelf):
        cache.queries["toy"] += 3
        cache.hits["toy"] += 1
        cache.keep(OWNER, KEY, now(1))
        assert cache.figures().stored is None
        await until(lambda: cache.figures().stored)
        figures = await cache.refresh()
        assert (figures.store, figures.failing, figures.queries, figures.hits) == ("shelf", "", 3, 1)
        assert figures.stored == Figures(1, len(encode(KEY, now(1))))
        assert figures.memory.entries == 1

    running(main)
