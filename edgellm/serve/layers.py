"""What stands between the routes and a model's queue: figures, traces, kept answers, shared flights."""

from __future__ import annotations

from edgellm.serve.cache import opening
from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.cache.source import CachedSource
from edgellm.serve.flights import Flights
from edgellm.serve.live import Gauges, Recorder, Watched
from edgellm.serve.loaded import Loaded
from edgellm.serve.measured import Measured
from edgellm.serve.metrics import Looks, Metrics
from edgellm.serve.orders import Source
from edgellm.serve.served import Served
from edgellm.serve.settings import CacheSettings, Values
from edgellm.serve.traces import Traced, Tracing


class Layers:
    """Puts them around models. One of each service; models come and go."""

    def __init__(self, values: Values) -> None:
        """Raises: ConfigError, ToolMissing."""
        self.metrics = Metrics()
        self.tracing = Tracing.to(values.log.traces) if values.log.traces else None
        self.cache: ResponseCache | None = None
        self._cached: CacheSettings | None = None

    async def use_cache(self, settings: CacheSettings) -> bool:
        """Keep answers as these settings say; whether that is another way than before. Raises: ConfigError, ToolMissing."""
        if settings == self._cached:
            return False
        cache, old = opening.opened(settings), self.cache
        self.cache, self._cached = cache, settings
        self.metrics.watch_cache(cache)
        if old is not None:
            await old.close()
        return True

    def around(self, loaded: Loaded, time: float) -> Served:
        """A model as routes know it. `time`: when it was loaded, unix time in s."""
        recorder = Recorder(Gauges(lambda: loaded.scheduler.state().waiting, self._stored))
        source: Source = Flights(loaded.scheduler)
        if self.cache is not None:
            source = CachedSource(source, self.cache, loaded.model, loaded.name, loaded.model.digest)
        source = Measured(source, self.metrics.tally(loaded.name))
        if self.tracing is not None:
            source = Traced(source, self.tracing, loaded.name)
        self.metrics.watch(loaded.name, _looks(loaded))
        return Served(
            loaded.name,
            loaded.model,
            loaded.model.digest,
            Watched(source, recorder),
            loaded.settings,
            loaded.workers,
            time,
            recorder,
        )

    def _stored(self) -> int:
        figures = self.cache and self.cache.figures()
        return figures.stored.entries if figures and figures.stored else 0

    async def close(self) -> None:
        """Write what is unwritten."""
        if self.cache is not None:
            await self.cache.close()
        if self.tracing is not None:
            self.tracing.close()


def _looks(loaded: Loaded) -> Looks:
    return Looks(
        lambda: loaded.workers,
        loaded.scheduler.state,
        loaded.pool.state,
        lambda: {worker.name: worker.restarts for worker in loaded.workers},
    )
