"""The simulated accelerator as hardware and as a back end, on the shipped model."""

from collections import defaultdict

import numpy as np
import pytest
from commands import COMMANDS

import edgellm
from edgellm.bundle.pack import pack
from edgellm.errors import BackendFailed, UsageError
from edgellm.numerics.sampling import Sampling
from edgellm.runtime import scoring
from edgellm.runtime.device import LOGITS, Event, Job
from edgellm.runtime.engine import Engine, Request

pytestmark = [pytest.mark.fpga, pytest.mark.sim]
MODEL, STOP = "home-260k", frozenset([2])


@pytest.fixture(scope="module")
def golden():
    with edgellm.load(MODEL, "golden") as llm:
        yield llm


@pytest.fixture(scope="module")
def device():
    with edgellm.load(MODEL, "sim") as llm:
        yield llm.engine.device


@pytest.fixture
def engine(device):
    device.accelerator.reset()
    return Engine([lambda: device])


def collect(device, wanted: int, **stalls) -> dict[int, list[tuple[int, str | None]]]:
    """Events by slot until `wanted` answers have ended."""
    by_slot = defaultdict(list)
    while wanted:
        for event in device.wait(**stalls):
            by_slot[event.slot].append((event.token, event.reason))
            wanted -= event.reason is not None
    return by_slot


def run(engine, *jobs):
    """(tokens, reason) of each, all of them in the queue at once."""
    answers = [engine.submit(Request(job)) for job in jobs]
    for answer in answers:
        for _ in engine.tokens(answer):
            pass
    return [(answer.tokens, answer.finish_reason) for answer in answers]


def single(golden, ids, limit=257):
    """Events of the golden model's answer."""
    ((tokens, reason),) = run(golden.engine, Job(ids, limit, STOP))
    if reason == "stop":
        return [*((t, None) for t in tokens), (2, "stop")]
    return [*((t, None) for t in tokens[:-1]), (tokens[-1], reason)]


def test_slots_do_not_disturb_each_other_and_stalls_change_nothing(device, golden):
    hardware = device.accelerator
    prompts = {slot: golden.stream(COMMANDS[slot]).prompt_ids for slot in range(device.traits.slots)}
    for slot, ids in prompts.items():
        hardware.submit(slot, ids, 257, STOP)
    got = collect(hardware, len(prompts), stall_in=0.3, stall_out=0.7, seed=3)
    assert got == {slot: single(golden, ids) for slot, ids in prompts.items()}


def test_an_engine_fills_the_slots_and_reuses_prefixes(engine, golden):
    """More prompts than slots; then the same ones again, which find most of themselves in the caches."""
    jobs = [
        Job(golden.stream(text).prompt_ids, 20, STOP, Sampling.of(i, i % 2))
        for i, text in enumerate(COMMANDS[:12])
    ]
    long = [1] + [20 + i % 200 for i in range(60)]
    jobs += [Job([*long, 30 + n], 4, STOP) for n in range(3)]
    want = run(golden.engine, *jobs)
    assert run(engine, *jobs) == want
    assert run(engine, *jobs) == want
    again = engine.submit(Request(jobs[-1]))
    assert list(engine.tokens(again))
    assert again.cached >= 60
    assert again.tokens == want[-1][0]


def test_a_cancelled_answer_frees_its_slot_and_no_other(engine, golden):
    ids = [golden.stream(text).prompt_ids for text in COMMANDS[:3]]
    answers = [engine.submit(Request(Job(prompt, 257, STOP))) for prompt in ids]
    parts = engine.tokens(answers[0])
    next(parts)
    parts.close()
    again = run(engine, Job(ids[0], 257, STOP))
    want = run(golden.engine, *(Job(prompt, 257, STOP) for prompt in ids))
    assert again == want[:1]
    for answer, expected in zip(answers[1:], want[1:], strict=True):
        list(engine.tokens(answer))
        assert (answer.tokens, answer.finish_reason) == expected


def test_a_prompt_that_fills_the_context(engine, golden):
    ids = [1] + [20 + i % 200 for i in range(255)]
    want = run(golden.engine, Job(ids, 257, STOP))
    assert run(engine, Job(ids, 257, STOP)) == want
    assert want[0][1] in ("context", "stop")


def test_the_host_chooses_on_the_accelerator_too(engine, golden):
    """Logits of a whole sequence, token by token, and those of a job that ends by itself."""
    ids = golden.stream(COMMANDS[0]).prompt_ids
    (got,), (want,) = scoring.logits(engine, [ids]), scoring.logits(golden.engine, [ids])
    assert np.array_equal(got, want)
    second = [Request(Job(ids, 5, frozenset([2])), lambda logits, _: int(np.argsort(logits)[-2]))] * 3
    pairs = []
    for one in (engine, golden.engine):
        answers = [one.submit(request) for request in second]
        pairs.append([(list(one.tokens(a)) and a.tokens, a.finish_reason) for a in answers])
    assert pairs[0] == pairs[1]
    assert pairs[0][0][1] == "length"


def test_a_job_that_waits_for_the_host_is_cancelled(device, engine, golden):
    device.submit(3, Job([1, 40, 3], 5, by_host=True))
    assert list(device.poll(1.0)) == [Event(3, LOGITS)]
    device.cancel(3)
    device.submit(3, Job([1, 40, 3], 5, STOP))
    device.cancel(3)
    device.cancel(3)
    assert not device.poll(0.0)
    assert run(engine, Job([1, 40, 3], 5, STOP)) == run(golden.engine, Job([1, 40, 3], 5, STOP))


def test_max_tokens_and_counters(engine):
    answer = engine.submit(Request(Job([1, 40, 50, 3], 2)))
    list(engine.tokens(answer))
    assert (len(answer.tokens), answer.finish_reason) == (2, "length")
    counted = answer.counters
    assert 0 < counted["cycles_first_token"] < counted["cycles"]
    assert counted["cycles"] == counted["cycles_first_token"] + counted["cycles_per_token"]


def test_a_busy_slot_rejects(device):
    hardware = device.accelerator
    hardware.submit(0, [1, 40, 3], 2)
    hardware.submit(0, [1, 50, 3], 2)
    events = collect(hardware, 2)[0]
    assert [reason for _, reason in events].count("rejected") == 1
    assert [reason for _, reason in events].count("length") == 1


def test_a_reset_in_the_middle_leaves_nothing_behind(device, golden):
    hardware = device.accelerator
    ids = golden.stream(COMMANDS[1]).prompt_ids
    hardware.submit(0, ids, 257, STOP)
    hardware.wait()
    hardware.reset()
    hardware.submit(0, ids, 257, STOP)
    assert collect(hardware, 1)[0] == single(golden, ids)


def test_requests_that_cannot_be_meant(device):
    with pytest.raises(UsageError, match="3 stop ids: the accelerator compares 2; use stop strings instead"):
        device.accelerator.submit(0, [1], 1, [1, 2, 3])


def test_a_closed_device_says_so():
    with edgellm.load(MODEL, "sim") as llm:
        closed = llm.engine.device
    with pytest.raises(BackendFailed, match="the simulated accelerator is closed"):
        closed.submit(0, Job([1], 1))


def test_the_design_in_a_bundle_is_the_one_that_runs(device, golden, tmp_path):
    pack(device.design.folder, tmp_path / "home.edgellm")
    with edgellm.load(tmp_path / "home.edgellm", "sim") as llm:
        around = llm.engine.device.design
        assert (around.folder / "bundle.json").is_file()
        assert around.shell.build == device.design.shell.build
        assert llm.generate(COMMANDS[0]).tokens == golden.generate(COMMANDS[0]).tokens
