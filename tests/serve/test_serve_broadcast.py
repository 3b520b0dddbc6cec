"""News for all who watch: the first at once, the same for everybody, and no work while nobody watches."""

import asyncio
from contextlib import aclosing

import pytest

from edgellm.serve.broadcast import Broadcast


class Teller:
    def __init__(self, fails_at=None):
        self.told = self.looks = 0
        self._fails_at = fails_at

    def look(self):
        self.looks += 1

    def tell(self):
        self.told += 1
        if self.told == self._fails_at:
            raise RuntimeError("no news")
        return b"%d" % self.told


def broadcast(teller, looks=2):
    return Broadcast(teller.look, teller.tell, 0.01, looks)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0.01)


def test_the_first_news_come_at_once_and_more_follow():
    teller = Teller()

    async def main():
        async with aclosing(broadcast(teller, looks=3).watch()) as news:
            got = [await anext(news)]
            assert (got, teller.looks) == ([b"1"], 0)
            got += [await anext(news), await anext(news)]
        return got

    assert asyncio.run(main()) == [b"1", b"2", b"3"]
    assert teller.looks == 6


def test_everybody_gets_the_same():
    teller = Teller()

    async def main():
        one = broadcast(teller)
        async with aclosing(one.watch()) as first, aclosing(one.watch()) as second:
            assert (await anext(first), await anext(second)) == (b"1", b"2")  # each its own at first
            both = await asyncio.gather(*[later_three(first), later_three(second)])
            assert one.watchers == 2
        return both

    async def later_three(news):
        return [await anext(news) for _ in range(3)]

    first, second = asyncio.run(main())
    assert first == second == [b"3", b"4", b"5"]


def test_nothing_runs_while_nobody_watches():
    teller = Teller()

    async def main():
        one = broadcast(teller)
        await settle()
        assert (teller.told, teller.looks) == (0, 0)
        async with aclosing(one.watch()) as news:
            await anext(news)
            await anext(news)
        done = (teller.told, teller.looks)
        await settle()
        assert ((teller.told, teller.looks), one.watchers) == (done, 0)
        async with aclosing(one.watch()) as news:  # and again
            return [await anext(news), await anext(news)]

    assert len(asyncio.run(main())) == 2


def test_who_comes_when_the_last_one_leaves_gets_news():
    async def main():
        one = broadcast(Teller())
        async with aclosing(one.watch()) as news:
            await anext(news)
            await anext(news)
        async with aclosing(one.watch()) as news:
            return [await anext(news), await anext(news)]

    assert asyncio.run(asyncio.wait_for(main(), 30)) == [b"3", b"4"]


def test_one_that_leaves_does_not_take_the_news_from_others():
    async def main():
        one = broadcast(Teller())
        async with aclosing(one.watch()) as stays:
            async with aclosing(one.watch()) as leaves:
                await asyncio.gather(anext(stays), anext(leaves))
                await asyncio.gather(anext(stays), anext(leaves))
            await asyncio.wait_for(anext(stays), 30)

    asyncio.run(main())


def test_an_error_reaches_all_who_watch_and_the_next_ones_start_anew():
    async def main():
        one = broadcast(Teller(fails_at=3))
        async with aclosing(one.watch()) as first, aclosing(one.watch()) as second:
            await asyncio.gather(anext(first), anext(second))
            both = await asyncio.gather(anext(first), anext(second), return_exceptions=True)
            assert [str(error) for error in both] == ["no news", "no news"]
        async with aclosing(one.watch()) as news:
            assert await anext(news) == b"4"
            assert await anext(news) == b"5"

    asyncio.run(main())


def test_cancelling_who_watches_ends_the_work():
    teller = Teller()

    async def main():
        one = broadcast(teller)

        async def watch():
            async for _ in one.watch():
                pass

        task = asyncio.create_task(watch())
        while teller.told < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        told = teller.told
        await settle()
        assert (teller.told, one.watchers) == (told, 0)

    asyncio.run(main())
