"""A worker in a process of its own: the same tokens, and nothing that happens to it harms the service."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import replace

import psutil
import pytest

from edgellm.errors import BackendFailed, BackendUnavailable, ModelCorrupt, ToolMissing, UsageError
from edgellm.runtime import llm as llms
from edgellm.runtime.params import Params
from edgellm.serve.orders import Order
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.settings import QueueSettings
from edgellm.serve.workers.process import ProcessWorker
from edgellm.serve.workers.pulse import PATIENCE, Patience
from edgellm.serve.workers.revived import Revived
from edgellm.serve.workers.wanted import Wanted

MODEL = "home-260k"
TEXT = "turn on the kitchen light"
LONG = {"logit_bias": {2: -100.0}}  # never stops, and the host chooses, which takes a while
QUICK = Patience(beat=0.1, silence=1.0)


@pytest.fixture(scope="module")
def llm():
    """The model in this process: what the tokens must be."""
    with llms.load(MODEL, "native") as llm:
        yield llm


@pytest.fixture(scope="module")
def wanted(llm):
    return Wanted(llm.folder, "native", llm.digest)


def order(llm, text=TEXT, **options):
    params = Params.of(options)
    return Order(tuple(llm.prepared(text, params)), params)


async def collect(source, one):
    """Tokens, infos and end of an answer."""
    tokens, infos, end = [], [], None
    async for portion in source.stream(one):
        assert end is None
        tokens += portion.tokens
        infos += portion.infos
        end = portion.end
    return tokens, infos, end


async def until(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.002)


def running(main, wanted, patience=PATIENCE):
    """The result of `main(worker, died)`, with a worker that is closed afterwards; `died` says whether it died."""

    async def run():
        died = []
        worker = await ProcessWorker.open("native-0", wanted, lambda: died.append(True), patience)
        try:
            return await main(worker, died)
        finally:
            await worker.close()
            assert not psutil.pid_exists(pid_of(worker))

    return asyncio.run(run())


def pid_of(worker):
    return worker._process.pid


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0, "seed": 2**64 - 1},
        {"logprobs": 2},
        {"max_tokens": 3},
        {"choices": ["on", "off"]},
    ],
)
def test_the_same_tokens_as_in_this_process(llm, wanted, options):
    want = llm.generate(TEXT, **options)

    async def main(worker, _):
        assert (worker.backend, worker.slots) == ("native", 32)
        one = order(llm, **options)
        for begun in (0, 2):
            tokens, infos, end = await collect(worker, replace(one, tokens=tuple(want.tokens[:begun])))
            assert tokens == want.tokens[begun:]
            assert infos == (want.logprobs or [])[begun:]
            assert (end.finish_reason, end.backend) == (want.finish_reason, "native")
        assert worker.state() == replace(worker.state(), alive=True, running=0, queued=0, failures=())

    running(main, wanted)


def test_many_answers_at_once(llm, wanted):
    texts = [f"set the lamp to {number} percent" for number in range(50)]
    want = [llm.generate(text).tokens for text in texts]

    async def main(worker, _):
        answers = await asyncio.gather(*(collect(worker, order(llm, text)) for text in texts))
        assert [tokens for tokens, _, _ in answers] == want

    running(main, wanted)


def test_a_slow_reader_holds_nobody_up(llm, wanted):
    async def main(worker, _):
        want = llm.generate(TEXT, **LONG).tokens
        async with aclosing(worker.stream(order(llm, **LONG))) as slow:
            got = list((await anext(slow)).tokens)
            for _ in range(20):
                assert (await collect(worker, order(llm, max_tokens=5)))[2].finish_reason == "length"
            async for portion in slow:
                got += portion.tokens
        assert got == want

    running(main, wanted)


def test_who_goes_away_frees_the_slot(llm, wanted):
    async def main(worker, _):
        portions = worker.stream(order(llm, **LONG))
        await anext(portions)
        await portions.aclose()
        assert worker.state().running == 0
        await until(
            lambda: worker.state().cached > 0
        )  # told by the process: what a slot that is free again was fed
        assert worker.state().cached < llm.context - 1  # and not to the end

    running(main, replace(wanted, backend="golden"), QUICK)


def test_an_order_s_own_errors_come_back(llm, wanted):
    async def main(worker, died):
        with pytest.raises(UsageError, match="logit_bias names token 9999"):
            await collect(worker, order(llm, logit_bias={9999: 1.0}))
        with pytest.raises(UsageError, match=r"^json_schema"):
            await collect(worker, order(llm, json_schema={"not": {"type": "string"}}))
        with pytest.raises(UsageError, match="the request cannot be sent to a worker"):
            await collect(worker, Order((1,), Params(priority=1 << 70)))
        assert (await collect(worker, order(llm)))[0] == llm.generate(TEXT).tokens
        assert not died

    running(main, wanted)


def test_a_deadline(llm, wanted):
    async def main(worker, _):
        one = order(llm, deadline=5.0)
        tokens, _, end = await collect(worker, replace(one, arrived=one.arrived - 6))
        assert (tokens, end.finish_reason) == ([], "deadline")

    running(main, wanted)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"backend": "cuda"}, (BackendUnavailable, ToolMissing), "back end cuda does not work here"),
        ({"backend": "odd"}, UsageError, "back end 'odd' does not exist"),
        (
            {"digest": "0"},
            ModelCorrupt,
            "its files are not those that the service has read: reload the model$",
        ),
    ],
)
def test_what_does_not_open_says_why(wanted, change, error, message):
    async def main():
        with pytest.raises(error, match=message):
            await ProcessWorker.open("native-0", replace(wanted, **change), lambda: None)

    asyncio.run(main())


def test_a_start_that_takes_too_long(wanted):
    async def main():
        message = r"^worker native-0: its process did not load the model within 0.01 s$"
        with pytest.raises(BackendFailed, match=message):
            await ProcessWorker.open("native-0", wanted, lambda: None, Patience(start=0.01))

    asyncio.run(main())


def test_a_killed_process_fails_its_answers_at_once(llm, wanted):
    async def main(worker, died):
        async with aclosing(worker.stream(order(llm, **LONG))) as portions:
            got = list((await anext(portions)).tokens)
            os.kill(pid_of(worker), signal.SIGKILL)
            with pytest.raises(BackendFailed, match=r"^worker native-0: the other end is gone$"):
                async for portion in portions:
                    got += portion.tokens
        assert got == llm.generate(TEXT, **LONG).tokens[: len(got)]
        assert died == [True]
        assert not worker.state().alive
        with pytest.raises(BackendFailed, match="the other end is gone"):
            await collect(worker, order(llm))
        await worker.close()
        assert worker.state().failures == (
            f"the other end is gone: process {pid_of(worker)} was ended by SIGKILL",
        )

    running(main, wanted)


def test_a_stopped_process_is_killed(llm, wanted):
    async def main(worker, died):
        os.kill(pid_of(worker), signal.SIGSTOP)
        with pytest.raises(BackendFailed, match=r"^worker native-0: it said nothing for 1 s$"):
            await collect(worker, order(llm))
        await worker.close()
        assert "was killed for it" in worker.state().failures[-1]

    running(main, wanted, QUICK)


def test_signals_of_a_terminal_and_of_systemd_are_the_service_s(llm, wanted):
    async def main(worker, died):
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid_of(worker), number)
        assert (await collect(worker, order(llm)))[0] == llm.generate(TEXT).tokens
        assert os.getsid(pid_of(worker)) != os.getsid(0)
        assert not died

    running(main, wanted)


def test_closing_ends_answers_and_the_process(llm, wanted):
    async def main(worker, died):
        async with aclosing(worker.stream(order(llm, **LONG))) as portions:
            await anext(portions)
            await worker.close()
            with pytest.raises(BackendFailed, match=r"^worker native-0 is closed$"):
                async for _ in portions:
                    pass
        with pytest.raises(BackendFailed, match=r"^worker native-0 is closed$"):
            await collect(worker, order(llm))
        assert not died

    running(main, replace(wanted, backend="golden"))  # which takes its time


PARENT = """
import asyncio, sys
from pathlib import Path
from edgellm.serve.workers.process import ProcessWorker
from edgellm.serve.workers.wanted import Wanted
async def main():
    worker = await ProcessWorker.open("native-0", Wanted(Path(sys.argv[1]), "native", sys.argv[2]), lambda: None)
    print(worker._process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_a_process_goes_when_the_service_is_killed(wanted, stopped):
    arguments = [sys.executable, "-c", PARENT, str(wanted.folder), wanted.digest]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        if stopped:  # as good as one that hangs in its device
            child.suspend()
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive


class Running:
    """A scheduler over processes that are opened again."""

    def __init__(self, llm, wanted, count):
        self.workers = [Revived(f"native-{i}", self.opener(f"native-{i}", wanted)) for i in range(count)]
        settings = QueueSettings(most_requests=1000, most_tokens=1_000_000)
        self.pool = Pool(self.workers, llm.context, settings)
        self.scheduler = Scheduler(self.pool, self.pool.capacity, llm.context, settings)
        self.pool.listeners.append(self.scheduler.wake)
        for worker in self.workers:
            worker.listeners.append(self.pool.changed)

    def opener(self, name, wanted):
        return lambda died: ProcessWorker.open(name, wanted, died, QUICK)

    async def __aenter__(self):
        await asyncio.gather(*(worker.open() for worker in self.workers))
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(worker.close() for worker in self.workers))

    def send(self, index, number):
        """A signal to a worker's process, if it has one now."""
        worker = self.workers[index]._worker
        if worker is not None and worker.state().alive:
            os.kill(pid_of(worker), number)


@pytest.fixture(scope="module")
def load(llm):
    """50 orders of all kinds, and their tokens."""
    kinds = [{}, {"temperature": 1.0, "seed": 7}, {"logprobs": 1, "max_tokens": 40, **LONG}, LONG]
    asked = [(f"set the lamp to {number} percent", kinds[number % 4]) for number in range(50)]
    return [(order(llm, text, **options), llm.generate(text, **options).tokens) for text, options in asked]


def test_the_load_is_what_the_golden_model_says(llm, load):
    with llms.load(MODEL, "golden") as golden:
        for one, want in load[:3]:
            answer = golden.engine.submit(golden.request(list(one.prompt), one.params)[0])
            golden.engine.wait(answer)
            assert answer.tokens == want


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_every_answer_ends_with_its_tokens_when_processes_are_killed_or_stuck(
    llm, wanted, load, number, count
):
    async def main():
        async with Running(llm, wanted, count) as running:
            seen = 0

            async def answer(one, want):
                nonlocal seen
                got, infos = [], []
                async for portion in running.scheduler.stream(replace(one, arrived=time.monotonic())):
                    got += portion.tokens
                    infos += portion.infos
                    if seen < 4 and len(got) > 1:  # in mid-answer
                        running.send(seen % count, number)
                        seen += 1
                    end = portion.end
                assert got == want
                assert len(infos) == (0 if one.params.logprobs is None else len(want))
                return end

            ends = await asyncio.gather(*(answer(one, want) for one, want in load))
            assert {end.finish_reason for end in ends} <= {"stop", "length", "context"}
            assert running.pool.state().moved > 0
            state = running.scheduler.state()
            assert (state.finished, state.failed, state.waiting, state.running) == (50, 0, 0, 0)
            await until(lambda: all(worker.state().alive for worker in running.workers))

    asyncio.run(main())
