"""The simulated accelerator as a device and as a back end, on the shipped model."""

from collections import defaultdict

import pytest
from commands import COMMANDS

import edgellm
from edgellm.errors import BackendFailed, UsageError

pytestmark = [pytest.mark.fpga, pytest.mark.sim]
MODEL, STOP = "home-260k", frozenset([2])


@pytest.fixture(scope="module")
def golden():
    with edgellm.load(MODEL, "golden") as llm:
        yield llm


@pytest.fixture(scope="module")
def session():
    with edgellm.load(MODEL, "sim") as llm:
        yield llm.session


def collect(device, wanted: int, **stalls) -> dict[int, list[tuple[int, str | None]]]:
    """Events by slot until `wanted` answers have ended."""
    by_slot = defaultdict(list)
    while wanted:
        for event in device.wait(**stalls):
            by_slot[event.slot].append((event.token, event.reason))
            wanted -= event.reason is not None
    return by_slot


def single(golden, ids, limit=257):
    """Events of the golden model's answer."""
    tokens = list(golden.session.stream(ids, limit, STOP))
    reason = golden.session.finish_reason
    if reason == "stop":
        return [*((t, None) for t in tokens), (2, "stop")]
    return [*((t, None) for t in tokens[:-1]), (tokens[-1], reason)]


def test_slots_do_not_disturb_each_other_and_stalls_change_nothing(session, golden):
    device = session.open_device()
    prompts = {slot: golden.stream(COMMANDS[slot]).prompt_ids for slot in range(session.design.slots)}
    for slot, ids in prompts.items():
        device.submit(slot, ids, 257, STOP)
    got = collect(device, len(prompts), stall_in=0.3, stall_out=0.7, seed=3)
    assert got == {slot: single(golden, ids) for slot, ids in prompts.items()}


def test_an_abandoned_answer_frees_the_device(session, golden):
    ids = golden.stream(COMMANDS[0]).prompt_ids
    stream = session.stream(ids, 257, STOP)
    first = next(stream)
    stream.close()
    again = list(session.stream(ids, 257, STOP))
    assert again[0] == first
    assert again == list(golden.session.stream(ids, 257, STOP))


def test_a_prompt_that_fills_the_context(session, golden):
    ids = [1] + [20 + i % 200 for i in range(255)]
    assert list(session.stream(ids, 257, STOP)) == list(golden.session.stream(ids, 257, STOP))
    assert session.finish_reason == golden.session.finish_reason
    assert session.finish_reason in ("context", "stop")


def test_max_tokens_and_timings(session):
    assert len(list(session.stream([1, 40, 50, 3], 2, frozenset()))) == 2
    assert session.finish_reason == "length"
    counted = session.timings
    assert 0 < counted["cycles_first_token"] < counted["cycles"]
    assert counted["cycles"] == counted["cycles_first_token"] + counted["cycles_per_token"]


def test_a_busy_slot_rejects(session):
    device = session.open_device()
    device.submit(0, [1, 40, 3], 2)
    device.submit(0, [1, 50, 3], 2)
    events = collect(device, 2)[0]
    assert [reason for _, reason in events].count("rejected") == 1
    assert [reason for _, reason in events].count("length") == 1


def test_a_reset_in_the_middle_leaves_nothing_behind(session, golden):
    device = session.open_device()
    ids = golden.stream(COMMANDS[1]).prompt_ids
    device.submit(0, ids, 257, STOP)
    device.wait()
    device.reset()
    device.submit(0, ids, 257, STOP)
    assert collect(device, 1)[0] == single(golden, ids)


def test_requests_that_cannot_be_meant(session):
    with pytest.raises(UsageError, match="3 stop ids: the accelerator compares 2; use stop strings instead"):
        session.open_device().submit(0, [1], 1, [1, 2, 3])


def test_a_closed_session_says_so():
    with edgellm.load(MODEL, "sim") as llm:
        closed = llm.session
    with pytest.raises(BackendFailed, match="the simulated accelerator is closed"):
        closed.stream([1], 1, frozenset())
