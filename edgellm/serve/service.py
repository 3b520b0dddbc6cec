"""The service behind HTTP: its models are opened, loaded anew without losing a stream, drained and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgellm.errors import BackendUnavailable, ConfigError, ModelNotFound
from edgellm.serve.loaded import Loaded, Wrapper
from edgellm.serve.served import Readiness, Served
from edgellm.serve.settings import ModelSettings, Values

EXCLUSIVE = ("fpga",)  # a board has room for one design
NOT_OPEN, DRAINED = "models are being loaded", "the service is being stopped"


class LocalService:
    """See `served.Service`. For one event loop."""

    def __init__(self, values: Values, wrappers: Sequence[Wrapper] = ()) -> None:
        """`wrappers` make a model's source out of its queue, the innermost first; each gets what is served so far."""
        self.values, self._wrappers = values, wrappers
        self._loaded: dict[str, Loaded] = {}
        self._retired: dict[asyncio.Task[None], Loaded] = {}
        self._reloading = asyncio.Lock()
        self._against: str | None = NOT_OPEN  # why it is not ready

    async def open(self) -> None:
        """Load all models. Raises: ConfigError, UsageError, ModelError, BackendError; then nothing is open."""
        try:
            for settings in self.values.models:
                loaded = await self._load(settings)
                if loaded.served.name in self._loaded:
                    await loaded.close(DRAINED)
                    raise ConfigError(f"two models are called {loaded.served.name}: give one another name")
                self._loaded[loaded.served.name] = loaded
        except BaseException:
            await self.close()
            raise
        self._against = None

    async def _load(self, settings: ModelSettings) -> Loaded:
        return await Loaded.open(settings, self.values.queue, self._wrappers)

    def models(self) -> Sequence[Served]:
        """All that are served."""
        return [loaded.served for loaded in self._loaded.values()]

    def get(self, name: str) -> Served:
        """By name."""
        if name not in self._loaded:
            names = ", ".join(self._loaded) or "none"
            raise ModelNotFound(f"model {name!r} is not served here: models are {names}")
        return self._loaded[name].served

    def readiness(self) -> Readiness:
        """Whether requests can be answered."""
        reasons = [self._against] if self._against else []
        for name, loaded in self._loaded.items():
            if failures := loaded.failures():
                reasons.append(f"model {name} has no worker: {'; '.join(failures)}")
        return Readiness(not reasons, reasons)

    async def reload(self, name: str | None = None) -> None:
        """Load a model anew, or all: new orders go to the new one, the old one is closed when its last order has ended.

        Raises: what loading raises, and BackendUnavailable where the device has no room for two; then the old one stays.
        ModelNotFound.
        """
        async with self._reloading:
            for one in [name] if name is not None else list(self._loaded):
                await self._reload(self.get(one))

    async def _reload(self, old: Served) -> None:
        if held := [worker.name for worker in old.workers if worker.backend in EXCLUSIVE]:
            raise BackendUnavailable(
                f"worker {held[0]} of model {old.name} has a device that cannot hold two models: restart the service instead"
            )
        new = await self._load(old.settings)
        if self._against is not None:  # meanwhile
            await new.close(self._against)
            raise BackendUnavailable(f"model {old.name} is not loaded anew: {self._against}")
        self._replace(old.name, new)

    def _replace(self, name: str, new: Loaded) -> None:
        old, self._loaded[name] = self._loaded[name], new
        task = asyncio.create_task(old.retire())
        self._retired[task] = old
        task.add_done_callback(self._retired.pop)

    async def drain(self, seconds: float) -> bool:
        """Take no more orders, and wait for those that are there; whether all ended in so many seconds."""
        self._against = DRAINED
        every = [*self._loaded.values(), *self._retired.values()]
        for loaded in every:
            loaded.scheduler.shut(DRAINED)
        idle = asyncio.gather(*(loaded.scheduler.idle() for loaded in every))
        try:
            await asyncio.wait_for(idle, seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Free everything; answers that are not done end with BackendFailed. A second call does nothing."""
        self._against = DRAINED
        every = [*self._loaded.values(), *self._retired.values()]
        for task in list(self._retired):
            task.cancel()
        self._loaded.clear()
        await asyncio.gather(*(loaded.close(DRAINED) for loaded in every))
