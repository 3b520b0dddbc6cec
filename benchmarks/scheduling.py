"""What queue and pool cost over a worker, and a process over a thread: `python -m benchmarks.scheduling`.

The cost of an order and of a portion is the CPU time over a source that gives tokens for nothing. Throughput is that of readers
who ask for one answer after the other, on `native`: as many as there are slots, or three times as many behind the queue. Recovery
is the time from SIGKILL to the next token of an answer in flight, and to the worker being alive again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from edgellm import catalog
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.orders import End, Order, Portion, Source, Worker, WorkerState
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.settings import QueueSettings
from edgellm.serve.workers.local import LocalWorker
from edgellm.serve.workers.process import ProcessWorker
from edgellm.serve.workers.revived import Revived
from edgellm.serve.workers.wanted import Wanted

MODEL, TEXT = "home-260k", "turn on the kitchen light"
READERS, MORE_READERS, ANSWERS, ROUNDS = 32, 96, 2_000, 5
SETTINGS = QueueSettings(most_requests=10_000, most_tokens=10_000_000)


class Free:
    """A worker that costs nothing."""

    backend, slots = "free", 32

    def __init__(self, name: str, portions: int) -> None:
        self.name, self._portions = name, [Portion((1,))] * portions

    def state(self) -> WorkerState:
        return WorkerState(True)

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        for portion in self._portions:
            yield portion
        yield Portion((), end=End("stop", "free"))

    async def close(self) -> None: ...


def queued(workers: Sequence[Worker], context: int, ahead: int = 0) -> Scheduler:
    """Queue and pool over workers; `ahead` orders more than there are slots."""
    pool = Pool(workers, context, SETTINGS)
    scheduler = Scheduler(pool, lambda: pool.capacity() + ahead, context, SETTINGS)
    pool.listeners.append(scheduler.wake)
    for worker in workers:
        if isinstance(worker, Revived):
            worker.listeners.append(pool.changed)
    return scheduler


async def read(source: Source, order: Order) -> int:
    """Tokens of an answer."""
    return sum([len(portion.tokens) async for portion in source.stream(order)])


async def spent(source: Source, order: Order, count: int) -> float:
    """CPU microseconds of an answer."""
    begun = time.process_time()
    for _ in range(count):
        await read(source, order)
    return (time.process_time() - begun) / count * 1e6


async def cost(workers: int) -> tuple[float, float]:
    """Microseconds that queue and pool take of an order, and of a portion."""
    order, found = Order(tuple(range(20)), Params(max_tokens=30)), []
    for portions in (0, 100):
        free = [Free(f"free-{i}", portions) for i in range(workers)]
        both = [await spent(source, order, ANSWERS) for source in (queued(free, 256), free[0])]
        found.append(both[0] - both[1])
    return found[0], (found[1] - found[0]) / 100


async def throughput(source: Source, order: Order, readers: int) -> tuple[float, float]:
    """Answers a second, and microseconds of CPU of this process for one."""
    left = ANSWERS

    async def reader() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await read(source, order)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(reader() for _ in range(readers)))
    return ANSWERS / (time.perf_counter() - begun), (time.process_time() - cpu) / ANSWERS * 1e6


async def recovery(
    workers: Sequence[Revived], source: Source, order: Order, tokens: int
) -> tuple[float, float]:
    """Milliseconds from SIGKILL to the next token behind those that had come, and to the worker being alive again."""
    first = workers[0]
    portions, seen = source.stream(order), 0
    seen += len((await anext(portions)).tokens)
    os.kill(first._worker._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    begun = time.perf_counter()
    while first.state().alive:
        await asyncio.sleep(0.0005)
    dead, next_token = time.perf_counter() - begun, None
    async for portion in portions:
        seen += len(portion.tokens)
        if next_token is None and len(workers) + first.state().alive > 1 and portion.tokens:
            next_token = time.perf_counter() - begun
    while not first.state().alive:
        await asyncio.sleep(0.0005)
    if seen != tokens or next_token is None:
        raise SystemExit(f"{seen} tokens came instead of {tokens}; noticed after {dead * 1e3:.1f} ms")
    return next_token * 1e3, (time.perf_counter() - begun) * 1e3


def opener(name: str, wanted: Wanted) -> Callable[[Callable[[], None]], Awaitable[Worker]]:
    """Of a process."""
    return lambda died: ProcessWorker.open(name, wanted, died)


async def compare(wanted: Wanted, context: int, order: Order) -> None:
    """A thread beside a process, bare and behind queue and pool."""
    local: Worker = LocalWorker("native-0", wanted.load())
    process: Worker = await ProcessWorker.open("native-0", wanted, lambda: None)
    for ahead in (0, 8):
        for name, worker in (("thread", local), ("process", process)):
            found = [
                await throughput(queued([worker], context, ahead), order, MORE_READERS) for _ in range(ROUNDS)
            ]
            rate, cpu = (statistics.median(values) for values in zip(*found, strict=True))
            print(f"{name}, {ahead} ahead: {rate:.0f} answers/s, {cpu:.0f} us of CPU here for one")
    for name, worker in (("thread", local), ("process", process)):
        found = [await throughput(worker, order, READERS) for _ in range(ROUNDS)]
        rate, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{name}, bare: {rate:.0f} answers/s, {cpu:.0f} us of CPU here for one")
        one = sorted([await timed(worker, order) for _ in range(500)])
        print(f"{name}, bare, alone: {one[250]:.0f} us an answer, p99 {one[495]:.0f} us")
    await asyncio.gather(local.close(), process.close())


async def timed(source: Source, order: Order) -> float:
    """Microseconds of an answer."""
    begun = time.perf_counter()
    await read(source, order)
    return (time.perf_counter() - begun) * 1e6


async def recover(wanted: Wanted, context: int, order: Order, tokens: int) -> None:
    """Processes killed in mid-answer, one and two of them."""
    for count in (1, 2):
        found = []
        for _ in range(ROUNDS):
            names = [f"native-{index}" for index in range(count)]
            workers = [Revived(name, opener(name, wanted)) for name in names]
            await asyncio.gather(*(worker.open() for worker in workers))
            found.append(await recovery(workers, queued(workers, context), order, tokens))
            await asyncio.gather(*(worker.close() for worker in workers))
        next_token, alive = (max(values) for values in zip(*found, strict=True))
        print(
            f"{count} processes, SIGKILL: next token after {next_token:.0f} ms, alive after {alive:.0f} ms (worst of {ROUNDS})"
        )


async def main() -> None:
    """All of it."""
    for workers in (1, 2):
        order_us, portion_us = await cost(workers)
        print(f"queue and pool of {workers}: {order_us:.1f} us an order, {portion_us:.2f} us a portion (CPU)")
    folder = catalog.find(MODEL)
    model = Model(folder)
    wanted = Wanted(folder, "native", model.digest)
    prompt = tuple(model.prepared(TEXT, Params()))
    await compare(wanted, model.context, Order(prompt, Params(max_tokens=30)))
    long = Params(
        max_tokens=200, logit_bias=dict.fromkeys(model.stop_ids, -100.0)
    )  # by the host, which takes a while
    await recover(wanted, model.context, Order(prompt, long), 200)


if __name__ == "__main__":
    asyncio.run(main())
