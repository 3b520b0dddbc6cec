"""The service over real models: opening, reload under a running answer, failures that leave all as it was, draining."""

import asyncio
import shutil
from contextlib import aclosing

import pytest

from edgellm import catalog
from edgellm.errors import (
    BackendFailed,
    BackendUnavailable,
    ConfigError,
    ModelNotFound,
    Overloaded,
    UsageError,
)
from edgellm.runtime import llm as llms
from edgellm.runtime.params import Params
from edgellm.serve.loaded import load
from edgellm.serve.orders import Order
from edgellm.serve.service import EdgeService
from edgellm.serve.settings import CacheSettings, ModelSettings, QueueSettings, Values
from edgellm.serve.workers.revived import Revived

HOME, HOUSEHOLD = "home-260k", "household-260k"
OFF = CacheSettings(store="off")
TEXT = "turn on the kitchen light"


def values(*models, cache=OFF, **more):
    chosen = [model if isinstance(model, ModelSettings) else native(model) for model in models]
    return Values(models=chosen, cache=cache, **more)


def native(path, **more):
    return ModelSettings(path=str(path), **{"backends": ("native",), **more})


def order(served, **options):
    params = Params.of(options)
    return Order(tuple(served.model.prepared(TEXT, params)), params)


async def tokens_of(served, **options):
    found = []
    async with aclosing(served.source.stream(order(served, **options))) as portions:
        async for portion in portions:
            found += portion.tokens
            end = portion.end
    return found, end


def opened(settings, work):
    """What `work` returns, of a service with these settings."""

    async def main():
        service = EdgeService(settings)
        try:
            await service.open()
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def judge():
    with llms.load(HOME, "golden") as golden:
        return golden.generate(TEXT).tokens


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(catalog.find(HOME), tmp_path / "model")


@pytest.mark.parametrize("isolated", [False, True])
def test_models_by_name(judge, isolated):
    async def work(service):
        assert [served.name for served in service.models()] == [HOME, "house"]
        assert service.readiness().ready
        with pytest.raises(ModelNotFound) as caught:
            service.get("home")
        assert str(caught.value) == f"model 'home' is not served here: choose from {HOME}, house"
        served = service.get(HOME)
        assert (served.digest, served.workers[0].backend) == (served.model.digest, "native")
        return await tokens_of(served)

    models = native(HOME, isolated=isolated), native(HOUSEHOLD, name="house")
    tokens, end = opened(values(*models), work)
    assert (tokens, end.finish_reason, end.origin) == (judge, "stop", "generated")


def test_it_is_not_ready_before_it_has_opened():
    service = EdgeService(values(HOME))
    assert (service.readiness().ready, service.readiness().reasons) == (
        False,
        ["the models are being loaded"],
    )


def test_two_models_of_one_name():
    async def work(service):
        pytest.fail("it opened")

    with pytest.raises(ConfigError) as caught:
        opened(values(HOME, native(HOUSEHOLD, name=HOME)), work)
    assert str(caught.value) == (
        f"models: two of them are called {HOME}: give one of them another name (models.name)"
    )


def test_a_back_end_that_does_not_open_is_tried_again_while_others_work(judge):
    async def work(service):
        (served,) = service.models()
        assert [worker.state().alive for worker in served.workers] == [True, False]
        assert [worker.name for worker in served.workers] == ["native-0", "fpga-0"]
        while not served.workers[1].state().failures:
            await asyncio.sleep(0.01)
        assert "fpga does not work here" in served.workers[1].state().failures[0]
        assert service.readiness().ready
        return await tokens_of(served)

    assert opened(values(native(HOME, backends=("native", "fpga"))), work)[0] == judge


def test_no_back_end_that_opens():
    with pytest.raises(BackendUnavailable, match="fpga does not work here"):
        opened(values(native(HOME, backends=("fpga",))), None)


def test_reload_keeps_what_has_not_changed():
    async def work(service):
        before = service.get(HOME)
        await service.reload(values(HOUSEHOLD, HOME))
        assert service.get(HOME) is before
        assert [served.name for served in service.models()] == [HOUSEHOLD, HOME]
        await service.reload(values(HOME))
        assert [served.name for served in service.models()] == [HOME]
        assert service.get(HOME) is before

    opened(values(HOME), work)


def test_reload_drops_no_stream(judge, folder):
    async def work(service):
        old = service.get(HOME)
        portions = old.source.stream(order(old))
        tokens = [*(await anext(portions)).tokens]
        await service.reload(values(native(folder, truncate="left")))
        assert service.get(HOME) is not old
        assert old.workers[0].state().alive
        assert (await tokens_of(service.get(HOME)))[0] == judge
        async for portion in portions:
            tokens += portion.tokens
        assert tokens == judge
        while old.workers[0].state().alive:
            await asyncio.sleep(0.01)

    opened(values(native(folder)), work)


def test_a_request_that_waits_in_the_old_queue_is_answered(judge, folder):
    async def work(service):
        old = service.get(HOME)
        one = [tokens_of(old, seed=number, temperature=0.001) for number in range(80)]
        tasks = [asyncio.create_task(answer) for answer in one]
        await asyncio.sleep(0)
        await service.reload(values(native(folder, truncate="left")))
        assert service.get(HOME) is not old
        assert all(tokens == judge for tokens, _ in await asyncio.gather(*tasks))

    opened(values(native(folder)), work)


def test_a_worker_never_comes_back_with_another_model(folder):
    """Its files were changed without a reload: old answers and new ones must not be mixed."""

    async def work(service):
        served = service.get(HOME)
        (worker,) = served.workers
        shutil.copytree(catalog.find(HOUSEHOLD), folder, dirs_exist_ok=True)
        worker._give_up(worker._worker, "it broke")
        while not worker.state().lost:
            await asyncio.sleep(0.01)
        assert (
            "its files are not those that the service has read: reload the model"
            in (worker.state().failures[-1])
        )
        with pytest.raises(BackendFailed, match="no worker is left"):
            await tokens_of(served)
        assert service.readiness().reasons[0].startswith(f"model {HOME} has no worker: native-0: ")

    opened(values(native(folder)), work)


def test_reload_sees_new_files(folder):
    async def work(service):
        old = service.get(HOME)
        shutil.copytree(catalog.find(HOUSEHOLD), folder, dirs_exist_ok=True)
        await service.reload(values(native(folder, name=HOME)))
        assert service.get(HOME).digest != old.digest
        assert service.get(HOME).model.name == HOUSEHOLD

    opened(values(native(folder, name=HOME)), work)


def test_a_reload_that_fails_changes_nothing(judge, tmp_path):
    async def work(service):
        before = service.models()
        with pytest.raises(ModelNotFound):
            await service.reload(values(HOUSEHOLD, tmp_path / "nowhere"))
        assert service.models() == before
        assert service.values.models[0].path == HOME
        return await tokens_of(service.get(HOME))

    assert opened(values(HOME), work)[0] == judge


def test_another_cache_after_a_reload(tmp_path):
    async def work(service):
        assert service.layers.cache is None
        kept = CacheSettings(path=tmp_path / "answers.sqlite")
        await service.reload(values(HOME, cache=kept))
        ends = [(await tokens_of(service.get(HOME)))[1].origin for _ in range(2)]
        assert ends == ["generated", "cache"]
        assert (tmp_path / "answers.sqlite").is_file()

    opened(values(HOME), work)


def test_draining_lets_answers_end_and_takes_no_more(judge):
    async def work(service):
        served = service.get(HOME)
        portions = served.source.stream(order(served))
        tokens = [*(await anext(portions)).tokens]
        draining = asyncio.create_task(service.drain(30))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"^the service is shutting down: "):
            await tokens_of(served, temperature=1.0, seed=4)
        assert not service.readiness().ready
        assert service.readiness().draining
        async for portion in portions:
            tokens += portion.tokens
        assert await draining
        assert tokens == judge

    opened(values(HOME), work)


@pytest.mark.parametrize("isolated", [False, True])
def test_what_is_not_over_when_it_closes_ends_with_an_error(isolated):
    async def work(service):
        served = service.get(HOUSEHOLD)
        portions = served.source.stream(order(served, temperature=4.0, seed=1))
        await anext(portions)
        assert not await service.drain(0.0)
        await service.close()
        with pytest.raises(BackendFailed, match=f"^model {HOUSEHOLD} is being closed: "):
            async for _ in portions:
                pass

    slow = ModelSettings(path=HOUSEHOLD, backends=("golden",), isolated=isolated)
    opened(values(slow), work)


def test_names_of_workers():
    async def main():
        found = await load(native(HOME, backends=("native", "golden", "native")), QueueSettings())
        names = [worker.name for worker in found.workers]
        assert found.pool.capacity() == sum(worker.slots for worker in found.workers)
        await found.retire()
        return names, [worker.state().alive for worker in found.workers]

    assert asyncio.run(main()) == (["native-0", "golden-0", "native-1"], [False] * 3)


def test_a_back_end_that_does_not_exist():
    with pytest.raises(UsageError, match=r"^back end 'gpu' does not exist: choose from auto, "):
        asyncio.run(load(native(HOME, backends=("gpu",)), QueueSettings()))


def test_a_board_cannot_hold_two_models(judge, monkeypatch):
    async def work(service):
        monkeypatch.setattr(Revived, "backend", "fpga")
        with pytest.raises(BackendUnavailable) as caught:
            await service.reload(values(native(HOME, truncate="left")))
        assert str(caught.value) == (
            f"worker native-0 of model {HOME} has a device that cannot hold two models: "
            "restart the service instead"
        )
        return await tokens_of(service.get(HOME))

    assert opened(values(HOME), work)[0] == judge


def test_closing_ends_what_retires_too(folder):
    async def work(service):
        old = service.get(HOUSEHOLD)
        portions = old.source.stream(order(old, temperature=4.0, seed=1))
        await anext(portions)
        await service.reload(values(HOME))
        await service.close()
        with pytest.raises(BackendFailed):
            async for _ in portions:
                pass
        assert not old.workers[0].state().alive

    opened(values(ModelSettings(path=HOUSEHOLD, backends=("golden",))), work)
