"""The cache that the settings ask for."""

from __future__ import annotations

from edgellm.errors import ConfigError
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.redis import RedisStore
from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.cache.sqlite import SqliteStore
from edgellm.serve.cache.stores import Figures, Store
from edgellm.serve.settings import CacheSettings


def opened(settings: CacheSettings) -> ResponseCache | None:
    """None where there shall be none. Nothing is read or connected to before the first order.

    Raises: ConfigError for Redis without an address, ToolMissing without its library.
    """
    if settings.store == "off":
        return None
    return ResponseCache(Guard(_store(settings)), settings.keep)


def _store(settings: CacheSettings) -> Store:
    if settings.store == "sqlite":
        most = Figures(settings.most_entries, settings.most_mb << 20)
        return SqliteStore(settings.path, most, settings.keep)
    if not settings.url:
        raise ConfigError(
            "cache.store is redis and cache.url is empty: give the server's address, redis://HOST:PORT"
        )
    return RedisStore(settings.url, settings.keep)
