"""The driver on a simulated board: tokens, how seldom it touches a register, and everything that may break."""

from __future__ import annotations

import itertools

import boards
import numpy as np
import pynq
import pynq.interrupt
import pytest

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.numerics.sampling import Sampling
from edgellm.registers import Register, Ring
from edgellm.runtime.backends import fpga, golden
from edgellm.runtime.backends.fpga import link, waiting
from edgellm.runtime.backends.fpga.waiting import Patience
from edgellm.runtime.device import LOGITS, Event, Job
from edgellm.runtime.engine import Engine, Request

pytestmark = pytest.mark.board
SHORT = Patience(seconds=0.1, cycles=5_000, most=30.0)
RESTART = r"open the model again to restart the accelerator; if it happens again, run `edgellm doctor`$"


@pytest.fixture
def board():
    return boards.install()


@pytest.fixture
def device(board):
    opened = fpga.open_device(board.fabric.design.model_folder, SHORT)
    yield opened
    opened.close()


def breaks(board, what, event=0, flips=0):
    from edgellm.sim.shell_harness import Break, Fault

    board.fabric.fault(Fault(Break[what], event, flips))


def finish(device, jobs):
    """Tokens of jobs, a slot each."""
    for slot, job in enumerate(jobs):
        device.submit(slot, job)
    tokens, left = [[] for _ in jobs], len(jobs)
    while left:
        for slot, token, reason, _ in device.poll(1.0):
            if reason != "stop":
                tokens[slot].append(token)
            left -= reason is not None
    return tokens


def want(job):
    return boards.judge().generate(job.prompt, job.max_tokens, job.stop_ids, sampling=job.sampling).tokens


def some_jobs(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Job(
            rng.integers(40, size=int(rng.integers(1, 4))).tolist(),
            100,
            sampling=Sampling.of(n, 2.0 if n % 2 else 0.0),
        )
        for n in range(count)
    ]


def test_hundreds_of_tokens_and_hardly_a_register_access(board, device):
    """Every slot busy, five times over, around the ring of events: at most one access in 16 tokens."""
    board.fabric.accesses.clear()
    generated = 0
    for seed in range(5):
        jobs = some_jobs(8, seed)
        got = finish(device, jobs)
        assert got == [want(job) for job in jobs]
        generated += sum(len(tokens) for tokens in got)
    assert generated > 700
    assert 0 < sum(board.fabric.accesses.values()) <= generated / 16


def test_more_jobs_than_slots_through_an_engine(board):
    """Jobs come and go one by one; the budget holds, as each has more than 16 tokens."""
    engine = Engine([lambda: fpga.open_device(board.fabric.design.model_folder, SHORT)])
    board.fabric.accesses.clear()
    answers = [engine.submit(Request(job)) for job in some_jobs(24)]
    for answer in answers:
        list(engine.tokens(answer))
        assert answer.tokens == want(answer.request.job)
    assert sum(board.fabric.accesses.values()) <= sum(len(answer.tokens) for answer in answers) / 16
    engine.close()


def test_rings_that_are_always_full_lose_nothing(board, monkeypatch):
    monkeypatch.setattr(link, "EVENTS", 4)
    monkeypatch.setattr(link, "COMMANDS", 2)
    device = fpga.open_device(board.fabric.design.model_folder, SHORT)
    jobs = [Job([n, *range(20)], 3) for n in range(8)]
    for _ in range(3):
        assert finish(device, jobs) == [want(job) for job in jobs]
    device.close()


@pytest.mark.parametrize("stall", [0.0, 0.7])
def test_stalls_of_the_bus_change_no_token(stall):
    board = boards.install(stall=stall, seed=3)
    device = fpga.open_device(board.fabric.design.model_folder, SHORT)
    jobs = some_jobs(8)
    assert finish(device, jobs) == [want(job) for job in jobs]
    for slot in range(8):
        device.submit(slot, Job([slot, 5], 1, by_host=True))
    rows = {}
    while len(rows) < 8:
        for event in device.poll(1.0):
            rows[event.slot] = device.logits(event.slot).copy()
    cache = boards.judge().new_cache()
    for slot, row in rows.items():
        boards.judge().step(cache, slot, 0)
        assert np.array_equal(row, boards.judge().step(cache, 5, 1))
    device.close()


def test_a_zynq_7000():
    """32-bit addresses, other clocks; PYNQ 4 has dropped it."""
    board = boards.install("pynq-z2")
    if pynq.__version__ >= "4":
        with pytest.raises(
            BackendUnavailable,
            match=r"^PYNQ 4\.\d\.\d knows no Zynq-7000 any more: pip install pynq==3\.1\.2$",
        ):
            fpga.open_device(board.fabric.design.model_folder, SHORT)
        return
    device = fpga.open_device(board.fabric.design.model_folder, SHORT)
    jobs = some_jobs(8)
    assert finish(device, jobs) == [want(job) for job in jobs]
    device.close()


def test_memory_lies_above_4_gib(board, device):
    high = board.fabric.simulation.read(Register.EVENTS + Ring.ADDRESS_HIGH)
    assert high >= 8


@pytest.mark.parametrize("which", ["flush", "invalidate"])
def test_a_driver_that_forgets_the_caches_does_not_get_far(board, device, which, monkeypatch):
    monkeypatch.setattr(board, which, lambda *_: board.fabric.pass_time())
    with pytest.raises(BackendFailed, match=r"is stuck|got lost"):
        finish(device, [Job([4, 9], 5)])


# ---- interrupts
def test_a_host_that_sleeps_is_woken(board, device, monkeypatch):
    """Without time to look, every token takes an interrupt, and none of them the slice that polling would."""
    monkeypatch.setattr(waiting, "SLICE", 20.0)
    monkeypatch.setattr(link, "SPINS", 1)
    assert finish(device, [Job([4, 9], 10)]) == [want(Job([4, 9], 10))]
    waits = board.fabric.accesses["interrupts"] / 5
    assert 10 < waits < 28  # two a token: the controller remembers the last one


def test_a_lost_interrupt_costs_time_and_nothing_else(board, device, monkeypatch):
    monkeypatch.setattr(link, "SPINS", 1)
    breaks(board, "SILENT")
    assert finish(device, [Job([4, 9], 10)]) == [want(Job([4, 9], 10))]


def test_without_interrupts_the_driver_looks(board, monkeypatch):
    monkeypatch.setattr(fpga.board, "INTERRUPT", "not_connected")
    monkeypatch.setattr(link, "SPINS", 1)
    device = fpga.open_device(board.fabric.design.model_folder, SHORT)
    assert finish(device, [Job([4, 9], 10)]) == [want(Job([4, 9], 10))]
    assert not board.fabric.accesses["interrupts"]
    device.close()


def test_a_platform_without_uio_device_is_polled(board, monkeypatch):
    monkeypatch.setattr(pynq.interrupt._InterruptController, "_uio_devices", {})
    device = fpga.open_device(board.fabric.design.model_folder, SHORT)
    assert finish(device, [Job([4, 9], 5)]) == [want(Job([4, 9], 5))]
    device.close()


# ---- what breaks
def test_a_stuck_device(board, device):
    breaks(board, "BLOCKED")
    with pytest.raises(
        BackendFailed,
        match=r"^the accelerator is stuck: nothing came for \d+\.\d s and \d{1,3},\d{3} of its cycles: status 0x0[26], "
        rf"commands 4 of 4 fetched, events 0 of \d taken, logits 0 of 0 taken; {RESTART}",
    ):
        finish(device, [Job([4, 9], 5)])


def test_a_lost_event(board, device):
    breaks(board, "DROPPED", event=3)
    with pytest.raises(
        BackendFailed,
        match=r"^events got lost: the accelerator has written 5, number 3 is not in memory: status 0x0[37], "
        rf"commands 4 of 4 fetched, events 2 of 5 taken, logits 0 of 0 taken; {RESTART}",
    ):
        finish(device, [Job([4, 9], 5)])


def test_a_corrupted_number(board, device):
    breaks(board, "FLIPPED", event=3, flips=1 << 40)
    with pytest.raises(
        BackendFailed,
        match=r"^the ring of events is corrupted: entry 2 has the number 259, where 3 is due$",
    ):
        finish(device, [Job([4, 9], 5)])


@pytest.mark.parametrize(
    ("bit", "message"),
    [
        (19, r"word 0x000800\w\w is of slot 8 and token \d+, the design has 8 slots and 40 tokens"),
        (12, r"word 0x000010\w\w is of slot 0 and token 4\d\d\d, the design has 8 slots and 40 tokens"),
        (30, r"word 0x400000\w\w is of slot 0 and token \d+, the design has 8 slots and 40 tokens"),
    ],
)
def test_a_corrupted_word(board, device, bit, message):
    breaks(board, "FLIPPED", event=2, flips=1 << bit)
    with pytest.raises(BackendFailed, match="^the ring of events is corrupted: " + message):
        finish(device, [Job([4, 9], 5)])


def test_a_token_of_nobody(board, device):
    breaks(board, "FLIPPED", event=2, flips=1 << 16)
    with pytest.raises(BackendFailed, match=r"^the accelerator gave a token of slot 1, which has no job$"):
        finish(device, [Job([4, 9], 5)])


def test_a_bus_error(board, device):
    board.fabric.simulation.write(Register.EVENTS + Ring.ADDRESS_HIGH, 0xF0)
    with pytest.raises(
        BackendFailed, match=rf"^bus error of the accelerator writing events: status .*{RESTART}"
    ):
        finish(device, [Job([4, 9], 5)])


def test_a_clock_that_stands_still(board, device, monkeypatch):
    monkeypatch.setattr(fpga.board.Registers, "cycles", lambda _: 77)
    breaks(board, "BLOCKED")
    with pytest.raises(
        BackendFailed, match=rf"^the accelerator's clock stands still: its counter stays at 77; {RESTART}"
    ):
        finish(device, [Job([4, 9], 5)])


def test_after_a_failure_it_opens_again(board):
    """The memory of an accelerator that did not stop is kept, and the next one gets other memory."""
    model = board.fabric.design.model_folder
    broken = fpga.open_device(model, SHORT)
    breaks(board, "BLOCKED")
    with pytest.raises(BackendFailed, match="is stuck"):
        finish(broken, [Job([4, 9], 5)])
    kept = len(link._kept)
    broken.close()
    assert len(link._kept) == kept + 1
    breaks(board, "NOTHING")
    device = fpga.open_device(model, SHORT)
    assert finish(device, [Job([4, 9], 5)]) == [want(Job([4, 9], 5))]
    device.close()
    assert len(link._kept) == kept + 1
    with pytest.raises(BackendFailed, match=r"^the accelerator is closed: open the model again$"):
        device.submit(0, Job([1], 1))


@pytest.mark.parametrize("event", [1, 30])
def test_an_engine_goes_on_elsewhere_with_the_same_tokens(board, event):
    """The accelerator comes to a halt in the middle of eight answers; the golden model ends them."""
    model = board.fabric.design.model_folder
    engine = Engine([lambda: fpga.open_device(model, SHORT), lambda: golden.open_device(model)])
    answers = [engine.submit(Request(job)) for job in some_jobs(10)]
    breaks(board, "FLIPPED", event, 1 << 40)
    for answer in answers:
        list(engine.tokens(answer))
    assert [answer.tokens for answer in answers] == [want(answer.request.job) for answer in answers]
    assert {answer.backend for answer in answers} == {"golden"}
    assert engine.failures[0].startswith("fpga: the ring of events is corrupted")
    engine.close()


def test_a_stuck_board_is_replaced_too(board):
    model = board.fabric.design.model_folder
    engine = Engine([lambda: fpga.open_device(model, SHORT), lambda: golden.open_device(model)])
    answer = engine.submit(Request(Job([4, 9], 12)))
    portions = engine.tokens(answer)
    first = next(portions)
    breaks(board, "BLOCKED")
    assert [*first, *itertools.chain.from_iterable(portions)] == want(Job([4, 9], 12))
    assert (answer.backend, len(engine.failures)) == ("golden", 1)
    engine.close()


def test_a_cancel_of_a_job_whose_logits_are_on_their_way(device):
    device.submit(3, Job([4, 9], 5, by_host=True))
    device.cancel(3)
    device.submit(3, Job([4, 9], 5, by_host=True))
    events = []
    while not events:
        events = device.poll(1.0)
    assert list(events) == [Event(3, LOGITS)]
    cache = boards.judge().new_cache()
    boards.judge().step(cache, 4, 0)
    assert np.array_equal(device.logits(3), boards.judge().step(cache, 9, 1))
