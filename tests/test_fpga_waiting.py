"""Waiting: naps, interrupts in a loop of their own, and when patience is over."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edgellm.errors import BackendFailed
from edgellm.registers import Register, Ring
from edgellm.runtime.backends.fpga import waiting, watch
from edgellm.runtime.backends.fpga.rings import CommandRing, EventRing, LogitsRing
from edgellm.runtime.backends.fpga.waiting import InterruptWaiter, Nap, Patience
from edgellm.runtime.backends.fpga.watch import Rings, Watch


def test_naps_get_longer_and_end_in_time(monkeypatch):
    slept = []
    monkeypatch.setattr(waiting.time, "sleep", slept.append)
    nap = Nap()
    for _ in range(8):
        nap.wait(0.001)
    assert slept == [5e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1e-3, 1e-3, 1e-3]
    nap.reset()
    nap.wait(0.001)
    assert slept[-1] == 5e-5


class Interrupt:
    """As pynq.Interrupt, but called by a test."""

    def __init__(self):
        self.waits, self.comes = 0, asyncio.Event()

    async def wait(self):
        self.waits += 1
        await self.comes.wait()


def test_an_interrupt_ends_a_wait(monkeypatch):
    monkeypatch.setattr(waiting, "SLICE", 60.0)
    interrupt = Interrupt()
    armed = []

    def arm():
        armed.append(threading.current_thread())
        waiting.loop().call(interrupt.comes.set)

    InterruptWaiter(interrupt, arm).wait(60.0)
    assert (armed, interrupt.waits) == ([threading.current_thread()], 1)


def test_one_that_never_comes_costs_a_slice():
    interrupt = Interrupt()
    InterruptWaiter(interrupt, lambda: None).wait(60.0)
    assert interrupt.waits == 1


def test_it_works_inside_of_a_running_loop():
    """As in a notebook."""

    async def cell():
        InterruptWaiter(Interrupt(), lambda: None).wait(0.001)
        return 7

    assert asyncio.run(cell()) == 7


def test_errors_of_the_loop_reach_the_caller():
    with pytest.raises(ValueError, match="no pin"):
        waiting.loop().call(raises)


def raises():
    raise ValueError("no pin")


class Registers:
    """Values by offset, and a counter of cycles."""

    def __init__(self, **values):
        self.values = {Register.STATUS: 3, **{Register[name]: value for name, value in values.items()}}
        self.now = self.reads = 0
        self.step = 1000

    def read(self, offset):
        self.reads += 1
        return self.values.get(offset, 0)

    def write(self, offset, value): ...

    def cycles(self):
        self.now += self.step
        return self.now

    def allocate(self, size):
        from test_fpga_rings import Side

        return Side().allocate(size)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def watcher(registers):
    parts = (
        CommandRing(registers, registers.allocate, 16),
        EventRing(registers, registers.allocate, 16),
        LogitsRing(registers, registers.allocate, 4, 24),
    )
    registers.reads = 0
    return Watch(registers, Rings(*parts), Patience(1.0, 2500, 30.0))


def test_no_register_is_read_in_the_first_second(clock):
    registers = Registers()
    watching = watcher(registers)
    clock[0] = 0.99
    watching.check()
    assert registers.reads == 0
    clock[0] = 1.0
    watching.check()
    reads = registers.reads
    assert reads > 0
    clock[0] = 1.9
    watching.check()
    assert registers.reads == reads


def test_stuck_is_who_does_nothing_for_so_long_and_so_many_cycles(clock):
    registers = Registers()
    watching = watcher(registers)
    for clock[0] in (1.0, 2.0, 3.0):
        watching.check()
    clock[0] = 4.0
    with pytest.raises(
        BackendFailed, match=r"^the accelerator is stuck: nothing came for 4\.0 s and 3,000 of its cycles: "
    ):
        watching.check()


def test_progress_begins_anew(clock):
    watching = watcher(Registers())
    for step in range(1, 20):
        clock[0] = float(step)
        watching.check()
        watching.progress()


def test_a_slow_clock_has_a_limit_too(clock):
    registers = Registers()
    registers.step = 1
    watching = watcher(registers)
    for clock[0] in range(1, 31):
        watching.check()
    clock[0] = 31.0
    with pytest.raises(BackendFailed, match=r"stuck: nothing came for 31\.0 s and 30 of its cycles"):
        watching.check()


def test_a_clock_that_stands_still(clock):
    registers = Registers()
    registers.step = 0
    watching = watcher(registers)
    clock[0] = 1.0
    watching.check()
    clock[0] = 2.0
    with pytest.raises(
        BackendFailed, match=r"^the accelerator's clock stands still: its counter stays at 0; "
    ):
        watching.check()


@pytest.mark.parametrize(
    ("status", "what"), [(8, "reading commands"), (16 | 32, "writing events and writing logits")]
)
def test_bus_errors(clock, status, what):
    watching = watcher(Registers(STATUS=status | 3))
    clock[0] = 1.0
    with pytest.raises(
        BackendFailed, match=rf"^bus error of the accelerator {what}: status {status | 3:#04x}, "
    ):
        watching.check()


def test_what_was_written_must_be_there_once_nothing_is_under_way(clock):
    registers = Registers(STATUS=2)
    registers.values[Register.LOGITS + Ring.DEVICE_COUNT] = 1
    watching = watcher(registers)
    clock[0] = 1.0
    watching.check()
    registers.values[Register.STATUS] = 3
    clock[0] = 2.0
    with pytest.raises(
        BackendFailed,
        match=r"^logits got lost: the accelerator has written 1, number 1 is not in memory: status 0x03, ",
    ):
        watching.check()
