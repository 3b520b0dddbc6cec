"""How long a hit of the response cache takes, by where it is, and what flights and measures cost a portion.

    python -m benchmarks.response_cache

Redis is measured where there is a redis-server.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path

from edgellm import catalog
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.redis import RedisStore
from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.cache.source import CachedSource
from edgellm.serve.cache.sqlite import SqliteStore
from edgellm.serve.cache.stores import Figures, Store
from edgellm.serve.flights import Flights
from edgellm.serve.measured import Measured
from edgellm.serve.metrics import Metrics
from edgellm.serve.orders import End, Order, Portion, Source

MODEL = "home-260k"
PROMPT, ANSWER = tuple(range(4, 24)), list(range(4, 34))
ENTRIES, HITS, PORTIONS = 2_000, 4_000, 100_000


class Portions:
    """A source of portions of one token."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """As many as were asked for, giving the event loop a turn before each."""
        for _ in range(self._count):
            await asyncio.sleep(0)
            yield Portion([5])
        yield Portion((), end=End("length", "none"))


class Answer:
    """A source of one answer at once."""

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """One portion."""
        yield Portion(ANSWER, end=End("stop", "none"))


def order(number: int) -> Order:
    """One of different prompts of 20 tokens."""
    return Order((4 + number % 400, 4 + number // 400, *PROMPT[2:]), Params())


async def consumed(source: Source, asked: Order) -> str:
    """Where an answer came from."""
    origin = ""
    async for portion in source.stream(asked):
        origin = portion.end.origin if portion.end else origin
    return origin


async def hits(store: Store, forget: bool) -> list[float]:
    """Seconds of hits, sorted; of those that memory has, or with `forget` of those that only the store has."""
    cache, model = ResponseCache(Guard(store, 5.0), 1e9), Model(catalog.find(MODEL))
    source = CachedSource(Answer(), cache, model, "m", "0" * 64)
    for number in range(ENTRIES):
        await consumed(source, order(number))
        await asyncio.sleep(0)
    while ((await cache.refresh()).stored or Figures(0, 0)).entries < ENTRIES:
        await asyncio.sleep(0.01)  # writing is behind
    seconds = []
    for number in range(HITS):
        if forget and number % ENTRIES == 0:
            cache._memory.clear()
        begun = time.perf_counter()
        origin = await consumed(source, order(number % ENTRIES))
        seconds.append(time.perf_counter() - begun)
        if origin != "cache":
            raise SystemExit(f"hit {number} came from {origin}")
    await cache.close()
    return sorted(seconds)


async def portion_seconds(source: Source) -> float:
    """Seconds a portion, the best of five."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        await consumed(source, order(0))
        best = min(best, time.perf_counter() - begun)
    return best / PORTIONS


def told(name: str, seconds: list[float]) -> None:
    """A line of the table."""
    p50, p99 = (1e6 * seconds[int(share * len(seconds))] for share in (0.5, 0.99))
    print(f"{name:<28} p50 {p50:8.1f} us   p99 {p99:8.1f} us   longest {1e6 * seconds[-1]:8.1f} us")


def with_redis(folder: Path, measure: Callable[[Store], Coroutine[None, None, list[float]]]) -> None:
    """Measure on a server of its own."""
    socket = folder / "redis.sock"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not socket.exists():
            time.sleep(0.01)
        told("Redis (unix socket)", asyncio.run(measure(RedisStore(f"unix://{socket}", 600.0, 5.0))))
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sqlite = SqliteStore(folder / "x.sqlite", Figures(100_000, 256 << 20), 1e9)
        told("memory", asyncio.run(hits(sqlite, forget=False)))
        sqlite = SqliteStore(folder / "y.sqlite", Figures(100_000, 256 << 20), 1e9)
        told("SQLite", asyncio.run(hits(sqlite, forget=True)))
        if shutil.which("redis-server"):
            with_redis(folder, lambda store: hits(store, forget=True))
        else:
            print("Redis: not measured, there is no redis-server")
    inner = Portions(PORTIONS)
    bare = asyncio.run(portion_seconds(inner))
    for what, source in (("flights", Flights(inner)), ("measures", Measured(inner, Metrics().tally("m")))):
        print(
            f"{what:<28} {1e6 * (asyncio.run(portion_seconds(source)) - bare):+8.2f} us a portion, one listener"
        )


if __name__ == "__main__":
    main()
