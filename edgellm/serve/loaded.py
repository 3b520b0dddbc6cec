"""One model from its settings: words, workers, pool, queue, and whatever is wrapped around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from edgellm import catalog
from edgellm.errors import BackendError
from edgellm.runtime import chains, registry
from edgellm.runtime.model import Model
from edgellm.serve.orders import Source, Worker
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.served import Served
from edgellm.serve.settings import ModelSettings, QueueSettings
from edgellm.serve.workers.local import LocalWorker
from edgellm.serve.workers.process import ProcessWorker
from edgellm.serve.workers.revived import Opener, Revived
from edgellm.serve.workers.wanted import Wanted

Wrapper = Callable[[Source, Served], Source]
LINGER = 1.0  # s that a model which was replaced is still there for a request that has just found it
REPLACED = "model {} has been loaded anew"


class Loaded:
    """A model that is open. `open` makes one."""

    def __init__(self, served: Served, workers: Sequence[Revived], scheduler: Scheduler) -> None:
        """Use `open`."""
        self.served, self.scheduler = served, scheduler
        self._workers = workers

    @classmethod
    async def open(cls, settings: ModelSettings, queue: QueueSettings, wrappers: Sequence[Wrapper]) -> Loaded:
        """Read the model and open its workers, each away from the event loop.

        Those that do not open for want of a device or a tool are tried again later, as long as one opens. Raises: ConfigError,
        UsageError, ModelError, BackendError.
        """
        for backend in settings.backends:
            if backend != registry.AUTO:
                registry.get(backend)
        model = await asyncio.to_thread(_words, settings)
        workers = _workers(settings, model)
        await _open(workers)
        pool = Pool(workers, model.context, queue)
        scheduler = Scheduler(pool, pool.capacity, model.context, queue)
        pool.listeners.append(scheduler.wake)
        for worker in workers:
            worker.listeners.append(pool.changed)
        name = settings.name or model.name
        served = Served(name, model, model.digest, scheduler, settings, workers, time.time(), scheduler, pool)
        for wrap in wrappers:
            served = replace(served, source=wrap(served.source, served))
        return cls(served, workers, scheduler)

    def failures(self) -> list[str]:
        """Why none of its workers is alive; empty when one is."""
        states = [(worker.name, worker.state()) for worker in self._workers]
        if any(state.alive for _, state in states):
            return []
        return [f"{name}: {state.failures[-1] if state.failures else 'closed'}" for name, state in states]

    async def retire(self) -> None:
        """Close it when its last order has ended."""
        await asyncio.sleep(LINGER)
        await self.scheduler.idle()
        await self.close(REPLACED.format(self.served.name))

    async def close(self, why: str) -> None:
        """Refuse orders with this message, end those that are there with BackendFailed, and free the devices."""
        self.scheduler.shut(why)
        await asyncio.gather(*(worker.close() for worker in self._workers))


def _words(settings: ModelSettings) -> Model:
    made = chains.of({"filters": settings.filters, "post": settings.post})
    return Model(catalog.find(settings.path), made)


def _workers(settings: ModelSettings, model: Model) -> list[Revived]:
    """One for each back end that is named."""
    make = _isolated if settings.isolated else _local
    names = [f"{backend}-{index}" for index, backend in enumerate(settings.backends)]
    return [
        Revived(name, make(name, Wanted(model.folder, backend, model.digest)))
        for name, backend in zip(names, settings.backends, strict=True)
    ]


def _isolated(name: str, wanted: Wanted) -> Opener:
    return partial(ProcessWorker.open, name, wanted)


def _local(name: str, wanted: Wanted) -> Opener:
    async def opened(died: Callable[[], None]) -> Worker:
        return LocalWorker(name, await asyncio.to_thread(wanted.load))

    return opened


async def _open(workers: Sequence[Revived]) -> None:
    """All at once. Raises what the first one raised when none opens, or one for a reason that does not pass."""
    errors = await asyncio.gather(*(worker.open() for worker in workers), return_exceptions=True)
    failed = [(worker, error) for worker, error in zip(workers, errors, strict=True) if error is not None]
    passing = [(worker, error) for worker, error in failed if isinstance(error, BackendError)]
    if len(passing) < len(failed) or len(failed) == len(workers):
        await asyncio.gather(*(worker.close() for worker in workers))
        raise next((error for _, error in failed if not isinstance(error, BackendError)), failed[0][1])
    for worker, error in passing:
        worker.retry(error)
