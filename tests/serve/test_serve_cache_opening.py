"""The cache of the settings."""

import asyncio
import sys

import pytest

from edgellm.errors import ConfigError, ToolMissing
from edgellm.serve.cache.opening import opened
from edgellm.serve.settings import CacheSettings


def test_off_is_none():
    assert opened(CacheSettings(store="off")) is None


def test_sqlite_is_the_default_and_nothing_is_opened_before_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))

    async def main():
        cache = opened(CacheSettings())
        assert cache.figures().store == "sqlite"
        assert not list(tmp_path.iterdir())
        await cache.refresh()
        assert next(path.name for path in tmp_path.iterdir()).startswith("responses.sqlite")
        await cache.close()

    asyncio.run(main())


def test_limits_of_the_settings(tmp_path):
    async def main():
        cache = opened(CacheSettings(path=tmp_path / "x.sqlite", most_entries=7, most_mb=3, keep=60))
        store = cache._guard._store
        await cache.close()
        return store._most, store._keep, cache._keep

    assert asyncio.run(main()) == ((7, 3 << 20), 60, 60)


def test_redis_without_an_address():
    with pytest.raises(
        ConfigError,
        match=r"^cache\.store is redis and cache\.url is empty: give the server's address, redis://HOST:PORT$",
    ):
        opened(CacheSettings(store="redis"))


def test_an_address_that_is_none_is_not_shown():
    with pytest.raises(ConfigError, match=r"^cache\.url is no address of a Redis server") as caught:
        opened(CacheSettings(store="redis", url="http://:hunter2@localhost"))
    assert "hunter2" not in str(caught.value)


def test_redis_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(
        ToolMissing, match=r"^a cache in Redis needs its library: pip install 'edgellm\[redis\]'$"
    ):
        opened(CacheSettings(store="redis", url="redis://localhost"))
