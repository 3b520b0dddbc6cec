"""A model with its workers open: from the settings to the queue in front of them, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edgellm import catalog
from edgellm.errors import EdgeLLMError
from edgellm.runtime import chains, registry
from edgellm.runtime.model import Model
from edgellm.serve.orders import Worker
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.settings import ModelSettings, QueueSettings
from edgellm.serve.workers.local import LocalWorker
from edgellm.serve.workers.process import ProcessWorker
from edgellm.serve.workers.revived import Opener, Revived
from edgellm.serve.workers.wanted import Wanted

LINGER = 0.5  # s in which requests that have the old model in hand begin


@dataclass(frozen=True, slots=True)
class Loaded:
    """The words, the workers, and what shares them out."""

    settings: ModelSettings
    queue: QueueSettings
    model: Model
    workers: Sequence[Revived]
    pool: Pool
    scheduler: Scheduler

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.settings.name or self.model.name

    def failures(self) -> list[str]:
        """Why none of its workers is alive; empty when one is."""
        states = [(worker.name, worker.state()) for worker in self.workers]
        if any(state.alive for _, state in states):
            return []
        return [f"{name}: {state.failures[-1] if state.failures else 'closed'}" for name, state in states]

    async def retire(self) -> None:
        """Close the workers when the last order has ended."""
        await asyncio.sleep(LINGER)
        await self.scheduler.idle()
        await self.close()

    async def close(self) -> None:
        """Close the workers now; orders end with BackendFailed."""
        self.pool.shut(f"model {self.name} is being closed: ask again in a moment")
        await asyncio.gather(*(worker.close() for worker in self.workers))


async def load(settings: ModelSettings, queue: QueueSettings) -> Loaded:
    """Open the workers side by side; those that do not open are tried again later, as long as one did.

    Raises: what the first one raises when none opens; UsageError for a back end that does not exist; ModelError and ConfigError
    for the model itself.
    """
    for backend in settings.backends:
        if backend != registry.AUTO:
            registry.get(backend)
    model = await asyncio.to_thread(_words, settings)
    workers = [
        Revived(name, _opener(settings, Wanted(model.folder, backend, model.digest), name))
        for name, backend in _names(settings.backends)
    ]
    pool = Pool(workers, model.context, queue)
    scheduler = Scheduler(pool, pool.capacity, model.context, queue)
    pool.listeners.append(scheduler.wake)
    for worker in workers:
        worker.listeners.append(pool.changed)
    found = Loaded(settings, queue, model, workers, pool, scheduler)
    try:
        await _open(workers)
    except BaseException:
        await found.close()
        raise
    return found


async def _open(workers: Sequence[Revived]) -> None:
    errors = await asyncio.gather(*(worker.open() for worker in workers), return_exceptions=True)
    failed = [(worker, error) for worker, error in zip(workers, errors, strict=True) if error is not None]
    for _, error in failed:
        if len(failed) == len(workers) or not isinstance(error, EdgeLLMError):
            raise error
    for worker, error in failed:
        if isinstance(error, EdgeLLMError):
            worker.retry(error)


def unchanged(loaded: Loaded) -> bool:
    """Whether the files are what they were; False where they cannot be read, which loading them will tell."""
    try:
        return _words(loaded.settings).digest == loaded.model.digest
    except EdgeLLMError:
        return False


def _words(settings: ModelSettings) -> Model:
    made = chains.of({"filters": settings.filters, "post": settings.post})
    return Model(catalog.find(settings.path), made)


def _names(backends: Sequence[str]) -> list[tuple[str, str]]:
    """native-0, native-1, cpu-0: each with its back end."""
    return [
        (f"{backend}-{backends[:index].count(backend)}", backend) for index, backend in enumerate(backends)
    ]


def _opener(settings: ModelSettings, wanted: Wanted, name: str) -> Opener:
    return partial(ProcessWorker.open, name, wanted) if settings.isolated else partial(_here, name, wanted)


async def _here(name: str, wanted: Wanted, broke: Callable[[], None]) -> Worker:
    """In this process, where it cannot die by itself: `broke` is never called."""
    del broke
    return LocalWorker(name, await asyncio.to_thread(wanted.load))
