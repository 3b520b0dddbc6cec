"""A model with its workers open: from the settings to the queue in front of them, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edgellm import catalog
from edgellm.errors import BackendFailed, EdgeLLMError
from edgellm.runtime import chains, llm
from edgellm.runtime.model import Model
from edgellm.serve.orders import Worker
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.settings import ModelSettings, QueueSettings
from edgellm.serve.workers.local import LocalWorker
from edgellm.serve.workers.process import ProcessWorker, Wanted
from edgellm.serve.workers.revived import Opener, Revived


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

    async def retire(self, seconds: float | None = None) -> bool:
        """Close the workers when their last order has ended, or after so long; whether all ended."""
        try:
            await asyncio.wait_for(self.scheduler.idle(), seconds)
            done = True
        except asyncio.TimeoutError:
            done = False
        await self.close()
        return done

    async def close(self) -> None:
        """Close the workers now; orders end with BackendFailed."""
        self.pool.shut(f"model {self.name} is being closed: ask again in a moment")
        await asyncio.gather(*(worker.close() for worker in self.workers))


async def load(settings: ModelSettings, queue: QueueSettings) -> Loaded:
    """Open the workers side by side; those that do not open are tried again later, as long as one did.

    Raises: what the first one raises when none opens; ModelError and ConfigError for the model itself.
    """
    model = await asyncio.to_thread(_words, settings)
    workers = [
        Revived(name, _opener(settings, model, name, backend)) for name, backend in _names(settings.backends)
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


def _opener(settings: ModelSettings, model: Model, name: str, backend: str) -> Opener:
    return partial(_isolated if settings.isolated else _here, name, model, backend)


async def _here(name: str, model: Model, backend: str, broke: Callable[[], None]) -> Worker:
    """In this process, where it cannot die by itself: `broke` is never called."""
    del broke
    opened = await asyncio.to_thread(llm.load, model.folder, backend)
    if opened.digest != model.digest:
        await asyncio.to_thread(opened.close)
        raise BackendFailed(f"worker {name}: {model.folder} has another model by now: reload the service")
    return LocalWorker(name, opened)


async def _isolated(name: str, model: Model, backend: str, broke: Callable[[], None]) -> Worker:
    return await ProcessWorker.open(name, Wanted(model.folder, backend, model.digest), broke)
