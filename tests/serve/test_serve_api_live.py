"""/live and its events: what they tell, for whom they work, and when they end."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient
from page_app import FakeService, FakeWorker, Site

from edgellm import __version__
from edgellm.errors import Overloaded
from edgellm.runtime.params import Params
from edgellm.serve.api.live import Occupancy, Picture, Snapshot
from edgellm.serve.orders import Order, WorkerState
from edgellm.serve.served import Readiness

LIMIT = 60  # s that anything may take on a busy machine


@pytest.fixture
def service(tmp_path):
    return FakeService(tmp_path, workers=[FakeWorker("native-0", slots=4), FakeWorker("fpga-0", "fpga", 8)])


@pytest.fixture
def site(service):
    return Site(service, interval=0.02)


def ask(service, text="hello", **params):
    async def main():
        order = Order(tuple(text.encode()), Params.of(params))
        async with aclosing(service.get("toy").source.stream(order)) as portions:
            return [portion async for portion in portions]

    return asyncio.run(main())


def live(site):
    with TestClient(site.app()) as client:
        response = client.get("/live")
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def test_live_tells_of_the_service(site):
    told = live(site)
    assert (told["version"], told["ready"], told["reasons"]) == (__version__, True, [])
    assert told["most_waiting"] == site.service.values.queue.most_requests
    assert told["time"] >= told["started"] > 0
    (model,) = told["models"]
    assert (model["name"], model["description"], model["context"]) == ("toy", "says what it is told", 48)
    assert model["activity"]["waiting"] == 3
    assert model["activity"]["stored_answers"] == 12


def test_live_tells_of_each_worker(site):
    site.service.workers[1].now = WorkerState(False, 2, 1, 640, ("fpga: no interrupt in 2 s",))
    first, second = live(site)["models"][0]["workers"]
    assert (first["name"], first["backend"], first["slots"], first["alive"]) == (
        "native-0",
        "native",
        4,
        True,
    )
    assert second == {
        "name": "fpga-0",
        "backend": "fpga",
        "alive": False,
        "slots": 8,
        "running": 2,
        "busy": 2.0,
        "queued": 1,
        "cached_tokens": 640,
        "failures": ["fpga: no interrupt in 2 s"],
    }


def test_live_tells_of_answers(site):
    site.script.cached = 4
    ask(site.service)
    site.script.origin = "cache"
    ask(site.service)
    site.script.answers.append(Overloaded("full", 1.0))
    with pytest.raises(Overloaded):
        ask(site.service)
    activity = live(site)["models"][0]["activity"]
    assert activity["outcomes"] == {"stop": 2, "refused": 1}
    assert activity["origins"] == {"generated": 1, "cache": 1}
    assert (activity["prompt_tokens"], activity["cached_tokens"]) == (5, 4)
    assert (activity["open"], activity["unbegun"]) == (0, 0)
    assert activity["latency"]["first_token"]["count"] == 2
    assert 0 < activity["latency"]["first_token"]["p50"] <= activity["latency"]["end_to_end"]["p50"] < LIMIT
    assert len(activity["tokens_each_second"]) == 60


def test_live_tells_nothing_of_what_is_said(site):
    site.script.answers.append("the answer's words")
    ask(site.service, "the prompt's words")
    assert "words" not in json.dumps(live(site))


def test_a_model_that_is_not_watched_has_no_activity(site):
    site.service.served = [replace(site.service.served[0], recorder=None)]
    assert live(site)["models"][0]["activity"] is None


def test_what_is_against_readiness(site):
    site.service.ready = Readiness(False, ["no back end of toy works"])
    told = live(site)
    assert (told["ready"], told["reasons"]) == (False, ["no back end of toy works"])


def test_the_openapi_document_describes_it(site):
    paths = site.app().openapi()["paths"]
    schema = paths["/live"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Snapshot"}
    assert "text/event-stream" in paths["/live/events"]["get"]["responses"]["200"]["content"]


def test_busy_is_the_mean_of_the_last_second(service):
    now = [100.0]
    occupancy, worker = Occupancy(service, lambda: now[0]), service.workers[0]
    assert occupancy.busy("toy", "native-0", 3) == 3  # nobody looked
    for running in (4, 0, 2):
        worker.now = WorkerState(True, running)
        occupancy.look()
        now[0] += 0.4
    assert occupancy.busy("toy", "native-0", 3) == 1.0  # the first look is more than a second ago
    now[0] += 5
    assert occupancy.busy("toy", "native-0", 3) == 3


def test_a_snapshot_is_what_the_schema_says(service):
    told = Picture(service).event()
    assert told.startswith(b"data: {")
    assert told.endswith(b"}\n\n")
    Snapshot.model_validate_json(told[len("data: ") :])


async def events(client, most):
    """So many snapshots, and then the client goes."""
    got = []
    async with client.stream("GET", "/live/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line:
                assert line.startswith("data: ")
                got.append(json.loads(line[6:]))
            if len(got) == most:
                break
    return got


async def looked(worker):
    """How often, once that no longer changes."""
    for _ in range(1000):
        before = worker.looks
        await asyncio.sleep(0.1)
        if worker.looks == before:
            return before
    raise AssertionError("somebody still looks")


def test_events_move_and_end_with_the_client(site):
    async def main(base):
        async with httpx.AsyncClient(base_url=base, timeout=LIMIT) as client:
            one, two = await asyncio.gather(events(client, 3), events(client, 4))
        assert one[0]["time"] < one[1]["time"] < one[2]["time"]
        assert one[0]["started"] == two[-1]["started"]
        assert await looked(site.service.workers[0]) > 0

    with site.running() as base:
        asyncio.run(main(base))


def test_nobody_looks_while_nobody_watches(site):
    async def main(base):
        async with httpx.AsyncClient(base_url=base, timeout=LIMIT) as client:
            await client.get("/live")
        assert await looked(site.service.workers[0]) == 1

    with site.running() as base:
        asyncio.run(main(base))


def test_events_end_when_the_service_is_drained(site):
    async def main(base):
        whole = httpx.AsyncClient(base_url=base, timeout=LIMIT)
        async with whole as client, client.stream("GET", "/live/events") as response:
            lines = response.aiter_lines()
            await anext(lines)
            site.service.ready = Readiness(False, ["the service ends"], draining=True)
            return [line async for line in lines if line]

    with site.running() as base:
        last = asyncio.run(main(base))
    assert json.loads(last[-1][6:])["reasons"] == ["the service ends"]
