"""Answers in a Redis server that several services share. What goes when it is full is the server's to say (maxmemory-policy)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgellm.errors import ConfigError, StoreFailed, ToolMissing
from edgellm.serve.cache.stores import Entry, Figures

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "edgellm:answer"
CONNECTIONS = 16
SECONDS = 0.05  # to connect, and to wait for a reply
SCANNED = 1_000  # keys a call


class RedisStore:
    """See `stores.Store`."""

    name = "redis"

    def __init__(self, url: str, keep: float, seconds: float = SECONDS) -> None:
        """`keep`: seconds after which an answer goes.

        Raises: ToolMissing without the library, ConfigError for a wrong address.
        """
        self._keep = max(1, round(1000 * keep))
        library = _library()
        try:
            pool = library.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=seconds,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=library.asyncio.retry.Retry(library.backoff.NoBackoff(), 0),
            )
        except ValueError:  # its message would show the password
            raise ConfigError(
                "cache.url is no address of a Redis server: it begins with redis://, rediss:// or unix://"
            ) from None
        self.place = _place(pool.connection_kwargs)
        self._redis: Redis = library.asyncio.Redis(connection_pool=pool)
        self._wrong = (library.exceptions.RedisError, OSError, asyncio.TimeoutError)

    async def get(self, model: str, key: bytes) -> bytes | None:
        """The value."""
        async with self._failing():
            value = await self._redis.get(_name(model, key))
        return value.encode() if isinstance(value, str) else value  # as the address may ask for

    async def put(self, entries: Sequence[Entry]) -> None:
        """Keep values, in one round trip."""
        async with self._failing(), self._redis.pipeline(transaction=False) as pipeline:
            for model, key, value in entries:
                pipeline.set(_name(model, key), value, px=self._keep)
            await pipeline.execute()

    async def drop(self, model: str, key: bytes) -> None:
        """Forget a value."""
        async with self._failing():
            await self._redis.unlink(_name(model, key))

    async def clear(self, model: str | None = None) -> int:
        """Forget all values, or those of one model."""
        pattern, cursor, gone = f"{PREFIX}:{model or '*'}:*", -1, 0
        async with self._failing():
            while cursor:
                cursor, names = await self._redis.scan(max(cursor, 0), pattern, SCANNED)
                gone += await self._redis.unlink(*names) if names else 0
        return gone

    async def figures(self) -> Figures:
        """Keys of the database, whosever they are, and the memory of the server."""
        async with self._failing():
            entries, memory = await self._redis.dbsize(), await self._redis.info("memory")
        return Figures(entries, memory["used_memory"])

    async def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(*self._wrong):
            await self._redis.aclose()

    @contextlib.asynccontextmanager
    async def _failing(self) -> AsyncGenerator[None, None]:
        """What goes wrong becomes StoreFailed, and idle connections, which may be dead as well, are closed."""
        try:
            yield
        except self._wrong as error:
            with contextlib.suppress(*self._wrong):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise StoreFailed(f"Redis at {self.place}: {str(error) or 'no reply in time'}") from error


def _name(model: str, key: bytes) -> str:
    return f"{PREFIX}:{model}:{key.hex()}"


def _library() -> Any:
    try:
        import redis.asyncio
        import redis.asyncio.retry
        import redis.backoff
    except ImportError:
        raise ToolMissing("a cache in Redis needs its library: pip install 'edgellm[redis]'") from None
    return redis


def _place(arguments: Mapping[str, Any]) -> str:
    """Where the server is: never its password."""
    if path := arguments.get("path"):
        return str(path)
    return f"{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"
