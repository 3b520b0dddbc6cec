"""The worker in this process: tokens as the golden model's, from any point on, deadlines, what its engine tells."""

import asyncio
from dataclasses import replace

import pytest
from toy import Parrot, write_model

from edgellm.errors import BackendFailed
from edgellm.runtime import llm as llms
from edgellm.runtime.params import Params
from edgellm.serve.orders import Order
from edgellm.serve.workers.local import LocalWorker

MODEL = "home-260k"
TEXT = "turn on the kitchen light"


async def collect(source, order):
    """Tokens, infos and end of an answer."""
    tokens, infos, end = [], [], None
    async for portion in source.stream(order):
        assert end is None
        tokens += portion.tokens
        infos += portion.infos
        end = portion.end
    return tokens, infos, end


def closing(worker, coroutine):
    async def main():
        try:
            return await coroutine
        finally:
            await worker.close()

    return asyncio.run(main())


@pytest.fixture
def worker():
    return LocalWorker("native-0", llms.load(MODEL, "native"))


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 5}, {"logprobs": 2}])
def test_tokens_from_any_point_on(worker, options):
    with llms.load(MODEL, "golden") as judge:
        want = judge.generate(TEXT, **options)
    order = Order(tuple(want.prompt_tokens), Params.of(options))

    async def main():
        got = [
            await collect(worker, replace(order, tokens=tuple(want.tokens[:begun])))
            for begun in range(0, len(want.tokens), 5)
        ]
        for index, (tokens, infos, end) in enumerate(got):
            assert tokens == want.tokens[5 * index :]
            assert infos == (want.logprobs or [])[5 * index :]
            assert (end.finish_reason, end.backend) == (want.finish_reason, "native")

    closing(worker, main())


@pytest.mark.parametrize(
    ("prompt", "options", "reason"), [(4, {"max_tokens": 7}, "length"), (250, {}, "context")]
)
def test_nothing_comes_behind_all_of_the_tokens(worker, prompt, options, reason):
    order = Order((5,) * prompt, Params.of({"temperature": 8.0, **options}))

    async def main():
        tokens, _, end = await collect(worker, order)
        assert (len(tokens), end.finish_reason) == (7, reason)
        rest, _, end = await collect(worker, replace(order, tokens=tuple(tokens)))
        assert (rest, end.finish_reason) == ([], reason)

    closing(worker, main())


def test_an_order_that_nobody_reads_along_comes_in_one_portion(worker):
    order = Order((0, 301, 259, 500, 3), Params(), whole=True)

    async def main():
        whole = [portion async for portion in worker.stream(order)]
        tokens, _, end = await collect(worker, replace(order, whole=False))
        assert [list(portion.tokens) for portion in whole] == [tokens, []]
        assert whole[-1].end.finish_reason == end.finish_reason

    closing(worker, main())


def test_a_deadline_counts_from_the_arrival(worker):
    order = Order((1, 2), Params(deadline=5.0))
    late = replace(order, arrived=order.arrived - 6)
    tokens, _, end = closing(worker, collect(worker, late))
    assert (tokens, end.finish_reason) == ([], "deadline")


def test_state(tmp_path):
    parrot = Parrot(b"yes", delay=0.01)
    worker = LocalWorker("parrot-0", llms.LLM(write_model(tmp_path / "toy"), [lambda: parrot]))
    assert (worker.backend, worker.slots) == ("parrot", 2)

    async def main():
        portions = worker.stream(Order((1, 2), Params()))
        await anext(portions)
        assert worker.state().running == 1
        await portions.aclose()
        while worker.state().running:
            await asyncio.sleep(0.001)
        assert parrot.cancelled == 1

    closing(worker, main())
    assert not worker.state().alive


def test_a_closed_worker_says_so(worker):
    async def main():
        await worker.close()
        with pytest.raises(BackendFailed, match=r"^worker native-0 is closed$"):
            await collect(worker, Order((1, 2), Params()))

    asyncio.run(main())
