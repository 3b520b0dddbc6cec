"""The operator's routes: metrics, figures of caches, clearing them, and the hook for who may."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from caching import OWNER, SHAPE, kept
from fastapi import Depends, FastAPI, HTTPException
from prometheus_client import parser

from edgellm.errors import ModelNotFound
from edgellm.runtime import llm as llms
from edgellm.runtime.params import Params
from edgellm.serve.api import admin
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.responses import Owner, ResponseCache
from edgellm.serve.cache.sqlite import SqliteStore
from edgellm.serve.cache.stores import Figures
from edgellm.serve.metrics import Metrics
from edgellm.serve.orders import Order, WorkerState
from edgellm.serve.workers.local import LocalWorker


class Worker:
    name, backend, slots = "native-0", "native", 4

    def __init__(self, tokens):
        self.tokens = tokens

    def state(self):
        return WorkerState(True, cached=self.tokens)

    async def clear_cache(self):
        self.tokens = 0


class Service:
    """Two models."""

    def __init__(self):
        self.served = [
            SimpleNamespace(name=name, digest=digest, workers=[Worker(tokens)])
            for name, digest, tokens in (("toy", "d1", 20), ("big", "d2", 30))
        ]

    def models(self):
        return self.served

    def get(self, name):
        for one in self.served:
            if one.name == name:
                return one
        raise ModelNotFound(f"no model {name}")


def asked(tmp_path, act, dependencies=(), cached=True):
    """Run `act(client, cache, service)`."""

    async def main():
        service, cache = Service(), None
        if cached:
            store = SqliteStore(tmp_path / "x.sqlite", Figures(1000, 1 << 30), 1e9)
            cache = ResponseCache(Guard(store), 1e9, clock=lambda: 0.0)
            for digest, key in (("d1", 1), ("d2", 2), ("d2", 3)):
                cache.keep(Owner("toy", digest, SHAPE), bytes([key]) * 32, kept(1))
            await cache._writing
        app = FastAPI()
        app.include_router(admin.router(service, Metrics(), lambda: cache, dependencies))
        app.exception_handler(ModelNotFound)(_not_found)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            try:
                return await act(client, cache, service)
            finally:
                if cache is not None:
                    await cache.close()

    return asyncio.run(main())


def _not_found(request, error):
    raise HTTPException(404, str(error))


def test_metrics(tmp_path):
    async def main(client, cache, service):
        response = await client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in parser.text_string_to_metric_families(response.text)}
        assert "edgellm:http_requests_refused" in names

    asked(tmp_path, main)


def test_figures(tmp_path):
    async def main(client, cache, service):
        return (await client.get("/admin/cache")).json()

    found = asked(tmp_path, main)
    response = found["response"]
    assert response.pop("memory")["entries"] == 3
    assert response.pop("stored")["entries"] == 3
    assert response == {
        "store": "sqlite",
        "failing": "",
        "failures": 0,
        "queries": 0,
        "hits": 0,
        "unwritten": 0,
    }
    assert found["prefix"] == [
        {"model": "toy", "worker": "native-0", "backend": "native", "tokens": 20},
        {"model": "big", "worker": "native-0", "backend": "native", "tokens": 30},
    ]


@pytest.mark.parametrize(
    ("query", "cleared", "left", "tokens"),
    [
        ("", {"responses": 3, "prefix_workers": 2}, 0, [0, 0]),
        ("?model=big", {"responses": 2, "prefix_workers": 1}, 1, [20, 0]),
        ("?which=prefix", {"responses": None, "prefix_workers": 2}, 3, [0, 0]),
        ("?which=response&model=toy", {"responses": 1, "prefix_workers": 0}, 2, [20, 30]),
    ],
)
def test_clear(tmp_path, query, cleared, left, tokens):
    async def main(client, cache, service):
        assert (await client.delete(f"/admin/cache{query}")).json() == cleared
        figures = await cache.refresh()
        assert figures.stored.entries == figures.memory.entries == left
        assert [one.workers[0].tokens for one in service.served] == tokens
        if left == 0:
            assert await cache.find(OWNER, b"\1" * 32, None) is None

    asked(tmp_path, main)


@pytest.mark.parametrize(("query", "status"), [("?model=none", 404), ("?which=odd", 422)])
def test_what_cannot_be_meant_clears_nothing(tmp_path, query, status):
    async def main(client, cache, service):
        assert (await client.delete(f"/admin/cache{query}")).status_code == status
        assert (await cache.refresh()).stored.entries == 3

    asked(tmp_path, main)


def test_without_a_response_cache(tmp_path):
    async def main(client, cache, service):
        assert (await client.get("/admin/cache")).json()["response"] is None
        assert (await client.delete("/admin/cache")).json() == {"responses": None, "prefix_workers": 2}

    asked(tmp_path, main, cached=False)


def test_every_route_asks_the_hook_first(tmp_path):
    def never():
        raise HTTPException(401)

    async def main(client, cache, service):
        found = [
            await client.get("/metrics"),
            await client.get("/admin/cache"),
            await client.delete("/admin/cache"),
        ]
        assert [one.status_code for one in found] == [401] * 3
        assert (await cache.refresh()).stored.entries == 3

    asked(tmp_path, main, [Depends(never)])


def test_a_worker_in_this_process_forgets_its_prefixes():
    async def main():
        worker = LocalWorker("native-0", llms.load("home-260k", "native"))
        async for _ in worker.stream(Order(tuple(range(1, 30)), Params(max_tokens=3))):
            pass
        assert worker.state().cached > 0
        await worker.clear_cache()
        assert worker.state().cached == 0
        await worker.close()

    asyncio.run(main())
