"""The service: its models from opening to close, one generation of them after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgellm.errors import BackendUnavailable, ConfigError, ModelNotFound
from edgellm.serve import loaded as loading
from edgellm.serve.layers import Layers
from edgellm.serve.loaded import Loaded
from edgellm.serve.served import Readiness, Served
from edgellm.serve.settings import ModelSettings, Values

EXCLUSIVE = ("fpga",)
ENDING = "the service is shutting down: ask again in a moment, or ask another instance"


@dataclass(frozen=True, slots=True)
class _Open:
    loaded: Loaded
    served: Served


class EdgeService:
    """See `served.Service` and `parts.Life`. For one event loop."""

    def __init__(self, values: Values) -> None:
        """Nothing is loaded yet. Raises: ConfigError, ToolMissing."""
        self.values, self.layers = values, Layers(values)
        self._open: dict[str, _Open] = {}
        self._retiring: dict[asyncio.Task[None], Loaded] = {}
        self._reloading = asyncio.Lock()
        self._against = ["the models are being loaded"]
        self._draining = False

    async def open(self) -> None:
        """Load the models. Raises: EdgeLLMError."""
        await self._use(self.values)
        self._against = []

    async def reload(self, values: Values) -> None:
        """Serve what these settings say; answers under way end on the models that they began on.

        Models whose files and settings are what they were stay. When one does not load, all stays as it was. Raises:
        EdgeLLMError, among them BackendUnavailable where a device has no room for two models.
        """
        async with self._reloading:
            await self._use(values)
            self.values = values

    async def _use(self, values: Values) -> None:
        kept, new = {}, []
        try:
            for settings in values.models:
                found = await self._same(settings, values)
                if found is not None:
                    kept[found.loaded.name] = found
                else:
                    self._check_room(settings)
                    new.append(await loading.load(settings, values.queue))
            _check_names([*kept, *(one.name for one in new)])
            renewed = await self.layers.use_cache(values.cache)
        except BaseException:
            await asyncio.gather(*(one.close() for one in new))
            raise
        self._swap(values, kept, {one.name: one for one in new}, renewed)

    def _check_room(self, settings: ModelSettings) -> None:
        """A board holds one design: the old model's has to go before another comes."""
        for name, one in self._open.items():
            held = [worker.name for worker in one.loaded.workers if worker.backend in EXCLUSIVE]
            if held and one.loaded.settings.path == settings.path:
                raise BackendUnavailable(
                    f"worker {held[0]} of model {name} has a device that cannot hold two models: "
                    "restart the service instead"
                )

    def _swap(self, values: Values, kept: dict[str, _Open], new: dict[str, Loaded], renewed: bool) -> None:
        old, now = self._open, time.time()
        made = {name: _Open(one, self.layers.around(one, now)) for name, one in new.items()}
        if renewed:  # the layers are others now
            kept = {
                name: _Open(one.loaded, self.layers.around(one.loaded, one.served.loaded))
                for name, one in kept.items()
            }
        found = {**kept, **made}
        names = [settings.name or self._name(settings, found) for settings in values.models]
        self._open = {name: found[name] for name in names}
        for name, gone in old.items():
            if name not in kept:
                self._retire(gone.loaded)
            if name not in self._open:
                self.layers.metrics.forget(name)

    @staticmethod
    def _name(settings: ModelSettings, found: dict[str, _Open]) -> str:
        return next(name for name, one in found.items() if one.loaded.settings == settings)

    async def _same(self, settings: ModelSettings, values: Values) -> _Open | None:
        """The open model with these settings, if its files are what they were."""
        for one in self._open.values():
            if (one.loaded.settings, one.loaded.queue) == (settings, values.queue):
                same = await asyncio.to_thread(loading.unchanged, one.loaded)
                return one if same else None
        return None

    def _retire(self, gone: Loaded) -> None:
        task = asyncio.create_task(gone.retire())
        self._retiring[task] = gone
        task.add_done_callback(self._retiring.pop)

    def models(self) -> Sequence[Served]:
        """All, in the order of the configuration."""
        return [one.served for one in self._open.values()]

    def get(self, name: str) -> Served:
        """By name. Raises: ModelNotFound listing the names."""
        if name not in self._open:
            names = ", ".join(self._open)
            raise ModelNotFound(f"model {name!r} is not served here: choose from {names}")
        return self._open[name].served

    def readiness(self) -> Readiness:
        """Whether every model has a back end that works, and nothing is being drained."""
        reasons = list(self._against)
        for name, one in self._open.items():
            if failures := one.loaded.failures():
                reasons.append(f"model {name} has no worker: {'; '.join(failures)}")
        return Readiness(not reasons, reasons, self._draining)

    async def drain(self, seconds: float) -> bool:
        """Take no more; wait for the answers under way: whether all ended in so many seconds."""
        self._draining, self._against = True, [ENDING]
        for one in self._all():
            one.scheduler.shut(ENDING)
        try:
            await asyncio.wait_for(asyncio.gather(*(one.scheduler.idle() for one in self._all())), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    def _all(self) -> list[Loaded]:
        """Those that are served, and those that end."""
        return [*(one.loaded for one in self._open.values()), *self._retiring.values()]

    async def close(self) -> None:
        """Free everything; answers that are not done end with BackendFailed. A second call does nothing."""
        self._draining, self._against = True, [ENDING]
        every = self._all()
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*(one.close() for one in every))
        await self.layers.close()


def _check_names(names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"models: two of them are called {min(twice)}: give one of them another name (models.name)"
        )
