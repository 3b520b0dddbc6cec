"""`edgellm serve --check`: everything that can be wrong before the first request, without listening."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from edgellm import cache
from edgellm.errors import ConfigError, EdgeLLMError
from edgellm.runtime import llm
from edgellm.runtime.params import Params
from edgellm.serve import security, sockets, tls
from edgellm.serve.settings import CacheSettings, ModelSettings, Values

REDIS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, and how it is."""

    subject: str
    well: bool
    text: str


def examine(values: Values) -> list[Finding]:
    """All findings; a model is loaded on each of its back ends and asked for a token."""
    found = [finding for model in values.models for finding in _model(model)]
    checks = {"address": _address, "API keys": _keys, "TLS": _tls, "cache": lambda of: _cache(of.cache)}
    return [*found, *(_tried(subject, check, values) for subject, check in checks.items())]


def _tried(subject: str, check: Callable[[Values], str], values: Values) -> Finding:
    try:
        return Finding(subject, True, check(values))
    except (EdgeLLMError, OSError) as error:
        return Finding(subject, False, str(error))


def _model(model: ModelSettings) -> Iterator[Finding]:
    for backend in dict.fromkeys(model.backends):
        subject = f"{model.name or model.path} on {backend}"
        try:
            yield Finding(subject, True, _answers(model, backend))
        except (EdgeLLMError, OSError) as error:
            yield Finding(subject, False, str(error))


def _answers(model: ModelSettings, backend: str) -> str:
    with llm.load(model.path, backend, model.filters, model.post) as loaded:
        ids = loaded.encode("a")
        request, _ = loaded.request(ids, Params(max_tokens=1))
        loaded.engine.wait(loaded.engine.submit(request))
        isolated = ", in a process of its own" if model.isolated else ""
        return f"{loaded.name} answers on {loaded.backend} ({loaded.backend_reason}){isolated}"


def _address(values: Values) -> str:
    with contextlib.closing(sockets.bind(values.host, values.port)) as bound:
        security.check_exposed(values, sockets.address(bound))
        scheme = "https" if values.security.tls_certificate else "http"
        free = " (a free port)" if values.port == 0 else ""
        return f"would listen on {scheme}://{values.host}:{values.port}{free}"


def _keys(values: Values) -> str:
    path = values.security.keys
    if path is None:
        return "none: whoever works on this machine may use the service"
    return f"{len(security.Keys.of(path))} in {path}"


def _tls(values: Values) -> str:
    secured = tls.of(values.security)
    if secured is None:
        return "none: plain HTTP"
    left = (secured.expires() - datetime.now(timezone.utc)).days
    return f"{values.security.tls_certificate} is valid for {left} more days"


def _cache(settings: CacheSettings) -> str:
    if settings.store == "redis":
        return asyncio.run(_redis(settings.url))
    if settings.store == "off":
        return "off"
    folder = (settings.path or cache.root() / "x").parent
    existing = next(place for place in [folder, *folder.absolute().parents] if place.is_dir())
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"the cache cannot be kept in {folder}: {existing} is not writable: set cache.path")
    return f"SQLite in {folder}, at most {settings.most_mb} MB"


async def _redis(url: str) -> str:
    from redis import RedisError
    from redis.asyncio import Redis

    try:
        async with Redis.from_url(
            url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS
        ) as server:
            await server.ping()
    except (RedisError, OSError, ValueError) as error:
        raise ConfigError(f"the Redis server of cache.url does not answer: {error}") from error
    return "Redis answers"
