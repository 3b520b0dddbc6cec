"""The service: what is open, loaded anew, drained and closed."""

import asyncio
import json
import shutil
import threading
from contextlib import aclosing

import pytest

from edgellm import catalog, manifest
from edgellm.errors import (
    BackendFailed,
    BackendUnavailable,
    ConfigError,
    ModelCorrupt,
    ModelNotFound,
    Overloaded,
    UsageError,
)
from edgellm.runtime import llm as llms
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve import loaded
from edgellm.serve.orders import Order
from edgellm.serve.service import LocalService
from edgellm.serve.settings import ModelSettings, Values

MODEL = "home-260k"
TEXT = "turn on the kitchen light"
LONG = {"logit_bias": {2: -100.0}}  # never stops, and the host chooses, which takes a while


@pytest.fixture(scope="module")
def llm():
    """The model in this process: what the tokens must be."""
    with llms.load(MODEL, "native") as llm:
        yield llm


@pytest.fixture
def folder(tmp_path):
    """A copy that may be changed."""
    shutil.copytree(catalog.find(MODEL), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch):
    monkeypatch.setattr(loaded, "LINGER", 0.0)


def rewrite(folder, **fields):
    """Change the manifest."""
    path = folder / manifest.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def running(main, *models, wrappers=(), **values):
    """The result of `main(service)`."""
    models = models or ({"path": MODEL, "backends": ("native",)},)

    async def run():
        service = LocalService(Values(models=[ModelSettings(**one) for one in models], **values), wrappers)
        try:
            await service.open()
            return await main(service)
        finally:
            await service.close()

    return asyncio.run(run())


def order(served, text=TEXT, **options):
    params = Params.of(options)
    return Order(tuple(served.model.prepared(text, params)), params)


async def collect(source, one):
    tokens, end = [], None
    async for portion in source.stream(one):
        tokens += portion.tokens
        end = portion.end
    return tokens, end


async def settle():
    for _ in range(200):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("isolated", [False, True])
def test_it_answers(llm, isolated):
    async def main(service):
        served = service.get(MODEL)
        assert service.models() == [served]
        assert (served.digest, [worker.name for worker in served.workers]) == (
            llm.digest,
            ["native-0", "golden-1"],
        )
        tokens, end = await collect(served.source, order(served))
        assert (tokens, end.finish_reason) == (llm.generate(TEXT).tokens, "stop")
        assert (served.scheduler.state().finished, served.pool.state().members[0].name) == (1, "native-0")
        assert (service.readiness().ready, service.readiness().reasons) == (True, [])

    running(main, {"path": MODEL, "backends": ("native", "golden"), "isolated": isolated})


def test_names_and_chains_are_those_of_the_settings():
    async def main(service):
        served = service.get("house")
        assert [one.name for one in service.models()] == ["house", "home-1m"]
        text = "light\x00"
        assert served.model.prepared(text, Params()) == service.get("home-1m").model.prepared(
            "light", Params()
        )
        with pytest.raises(
            ModelNotFound, match=r"^model 'odd' is not served here: models are house, home-1m$"
        ):
            service.get("odd")

    running(
        main,
        {"path": MODEL, "name": "house", "backends": ("native",), "filters": ({"kind": "remove_controls"},)},
        {"path": "home-1m", "backends": ("native",)},
    )


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([{"path": "odd"}], ModelNotFound, "odd: no such folder"),
        ([{"path": MODEL, "backends": ("odd",)}], UsageError, "back end 'odd' does not exist"),
        ([{"path": MODEL, "backends": ("cuda",)}], BackendUnavailable, "back end cuda does not work here"),
        ([{"path": MODEL, "filters": ({"kind": "odd"},)}], ConfigError, "kind is 'odd'"),
        (
            [{"path": MODEL, "backends": ("native",)}] * 2,
            ConfigError,
            f"^two models are called {MODEL}: give one another name$",
        ),
    ],
)
def test_what_cannot_be_served_says_why_and_leaves_nothing_open(models, error, message):
    before = threading.active_count()

    async def main(service):
        raise AssertionError

    with pytest.raises(error, match=message):
        running(main, *models)
    assert threading.active_count() == before


def test_a_worker_that_does_not_open_is_no_reason_to_stay_away(llm):
    async def main(service):
        assert service.readiness().ready
        states = {worker.name: worker.state() for worker in service.get(MODEL).workers}
        assert not states["cuda-0"].alive
        assert (await collect(service.get(MODEL).source, order(service.get(MODEL))))[0] == llm.generate(
            TEXT
        ).tokens

    running(main, {"path": MODEL, "backends": ("cuda", "native")})


def test_ready_only_with_a_worker():
    async def main(service):
        await service.get(MODEL).workers[0].close()
        assert service.readiness().reasons == [f"model {MODEL} has no worker: native-0: closed"]
        assert not service.readiness().ready

    running(main)
    assert LocalService(Values(models=[ModelSettings(path=MODEL)])).readiness().reasons == [
        "models are being loaded"
    ]


def test_wrappers_are_put_around_the_queue_one_after_the_other():
    seen = []

    class Wrapped:
        def __init__(self, name, inner, served):
            seen.append((name, type(inner).__name__, served.name, served.digest))
            self.inner = inner

        def stream(self, order):
            seen.append("asked")
            return self.inner.stream(order)

    async def main(service):
        served = service.get(MODEL)
        await collect(served.source, order(served))
        assert type(served.source.inner.inner).__name__ == "Scheduler"

    wrappers = [lambda inner, served, name=name: Wrapped(name, inner, served) for name in "ab"]
    running(main, wrappers=wrappers)
    digest = Model(catalog.find(MODEL)).digest
    assert seen == [("a", "Scheduler", MODEL, digest), ("b", "Wrapped", MODEL, digest), "asked", "asked"]


@pytest.mark.parametrize("isolated", [False, True])
def test_a_reload_drops_no_stream(llm, folder, isolated):
    async def main(service):
        old = service.get(MODEL)
        async with aclosing(old.source.stream(order(old, **LONG))) as portions:
            got = list((await anext(portions)).tokens)
            rewrite(folder, description="another one", stop_ids=[2, 3])
            await service.reload(MODEL)
            new = service.get(MODEL)
            assert new.digest != old.digest
            assert new.model.stop_ids == {2, 3}
            assert (await collect(new.source, order(new)))[1].finish_reason == "stop"
            assert old.workers[0].state().alive
            async for portion in portions:
                got += portion.tokens
        assert got == llm.generate(TEXT, **LONG).tokens
        await settle()
        assert not old.workers[0].state().alive
        with pytest.raises(Overloaded, match=f"^model {MODEL} has been loaded anew: try again in 1 s$"):
            await collect(old.source, order(old))

    running(main, {"path": str(folder), "backends": ("native",), "isolated": isolated})


def test_a_request_that_waits_in_the_old_queue_is_answered(llm, folder):
    async def main(service):
        old = service.get(MODEL)
        tasks = [asyncio.create_task(collect(old.source, order(old, **LONG))) for _ in range(40)]
        while not old.scheduler.state().waiting:
            await asyncio.sleep(0)
        await service.reload()
        want = llm.generate(TEXT, **LONG).tokens
        assert all(tokens == want for tokens, _ in await asyncio.gather(*tasks))

    running(main, {"path": str(folder), "backends": ("native",)})


def test_a_worker_that_comes_back_is_noticed(llm, monkeypatch):
    async def main(service):
        served = service.get(MODEL)
        worker = served.workers[0]
        worker._give_up(worker._worker, "it broke")
        assert not service.readiness().ready
        tokens, _ = await collect(served.source, order(served, deadline=30.0))  # waits in the pool
        assert tokens == llm.generate(TEXT).tokens
        room[0] = 0
        task = asyncio.create_task(collect(served.source, order(served, deadline=30.0)))
        await settle()
        assert served.scheduler.state().waiting == 1
        room[0] = 1
        worker._give_up(worker._worker, "it broke")  # comes back, and the queue looks again
        assert (await task)[0] == tokens

    room = [1]
    monkeypatch.setattr(loaded.Pool, "capacity", lambda pool: room[0])
    running(main)


def test_a_reload_that_fails_leaves_the_old_one_and_says_why(llm, folder):
    async def main(service):
        old = service.get(MODEL)
        (folder / "model.onnx").write_bytes(b"damaged")
        with pytest.raises(ModelCorrupt, match=r"model\.onnx: 7 bytes instead of"):
            await service.reload()
        assert service.get(MODEL) is old
        assert service.readiness().ready
        assert (await collect(old.source, order(old)))[0] == llm.generate(TEXT).tokens
        with pytest.raises(ModelNotFound):
            await service.reload("odd")

    running(main, {"path": str(folder), "backends": ("native",)})


def test_a_device_that_has_room_for_one_model_is_not_reloaded(monkeypatch):
    async def main(service):
        monkeypatch.setattr("edgellm.serve.service.EXCLUSIVE", ("native",))
        message = f"^worker native-0 of model {MODEL} has a device that cannot hold two models: restart the service instead$"
        with pytest.raises(BackendUnavailable, match=message):
            await service.reload()

    running(main)


def test_a_worker_never_comes_back_with_another_model(folder):
    """Its files were changed without a reload: old answers and new ones must not be mixed."""

    async def main(service):
        served = service.get(MODEL)
        worker = served.workers[0]
        rewrite(folder, stop_ids=[2, 3])
        worker._give_up(worker._worker, "it broke")
        while not worker.state().lost:
            await asyncio.sleep(0.01)
        assert (
            "its files are not those that the service has read: reload the model"
            in worker.state().failures[-1]
        )
        with pytest.raises(BackendFailed, match="no worker is left"):
            await collect(served.source, order(served))
        await service.reload()
        assert (await collect(service.get(MODEL).source, order(served)))[1].finish_reason == "stop"

    running(main, {"path": str(folder), "backends": ("native",)})


def test_draining_finishes_what_runs_and_lets_nobody_in(llm):
    async def main(service):
        served = service.get(MODEL)
        task = asyncio.create_task(collect(served.source, order(served, **LONG)))
        while not served.scheduler.state().running:
            await asyncio.sleep(0)
        drained = asyncio.create_task(service.drain(60))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"^the service is being stopped: try again in 1 s$"):
            await collect(served.source, order(served))
        assert service.readiness().reasons == ["the service is being stopped"]
        with pytest.raises(
            BackendUnavailable, match=f"^model {MODEL} is not loaded anew: the service is being stopped$"
        ):
            await service.reload()
        assert await drained
        assert (await task)[0] == llm.generate(TEXT, **LONG).tokens

    running(main)


def test_draining_for_too_long_says_so_and_closing_ends_the_rest():
    async def main(service):
        served = service.get(MODEL)
        async with aclosing(served.source.stream(order(served, **LONG))) as portions:
            await anext(portions)
            assert not await service.drain(0.001)
            await service.close()
            with pytest.raises(BackendFailed, match=r"^no worker is left: golden-0: is not alive$"):
                async for _ in portions:
                    pass
        await service.close()

    running(main, {"path": MODEL, "backends": ("golden",)})
