"""The harness of the AXI shell, with words that come back as events in the place of the accelerator."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from rtl_modules import RTL
from test_rtl_shell import BENCH, BLOCKS

from edgellm import cache
from edgellm.compiler import shell
from edgellm.compiler.shell import Shell
from edgellm.registers import Control, Register, Ring, Status
from edgellm.sim import shell_harness
from edgellm.sim.shell_harness import Break, Fault, ShellSimulation

pytestmark = pytest.mark.sim
BASE = 0x8_0000_0000
COMMANDS, EVENTS, LOGITS = 0x1000, 0x2000, 0x3000  # in the memory


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell")
    path = folder / shell.FILE
    path.write_text(shell.verilog(Shell(24, 2, 8, 0xC0FFEE01), "echo_core"))
    return shell_harness.build([*(RTL / f"{name}.sv" for name in BLOCKS), BENCH / "echo_core.sv", path])


def start(library, tmp_path, stall=0.0, seed=1):
    memory = np.zeros(1 << 16, np.uint8)
    sim = ShellSimulation(library, tmp_path, memory, BASE, seed=seed, stall=stall)
    for ring, place in ((Register.COMMANDS, COMMANDS), (Register.EVENTS, EVENTS), (Register.LOGITS, LOGITS)):
        sim.write(ring + Ring.ADDRESS, place)
        sim.write(ring + Ring.ADDRESS_HIGH, BASE >> 32)
        sim.write(ring + Ring.LOG2_ENTRIES, 5)
    sim.write(Register.CONTROL, Control.RUN | Control.INTERRUPT)
    return sim, memory.view(np.uint64)


def send(sim, memory, words):
    memory[COMMANDS // 8 : COMMANDS // 8 + len(words) // 2] = [
        b << 32 | a for a, b in zip(words[::2], words[1::2], strict=True)
    ]
    sim.write(Register.COMMANDS + Ring.HOST_COUNT, len(words) // 2)


def events(memory, count):
    return [(int(e) >> 32, int(e) & 0xFFFFFFFF) for e in memory[EVENTS // 8 : EVENTS // 8 + count]]


def test_a_library_in_the_cache_is_held(library, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    entry = cache.fetch("simulator", "key", lambda work: shutil.copy(library, work))
    sim, _ = start(entry / library.name, tmp_path)
    assert cache.clear() == 0
    del sim
    assert cache.clear() > 0


WORDS = [3, 1 << 31 | 5, 7, 9, 11, 13]
WANTED = list(enumerate(WORDS, 1))


@pytest.mark.parametrize(("stall", "seed"), [(0.0, 1), (0.3, 2), (0.9, 3)])
def test_words_come_back(library, tmp_path, stall, seed):
    sim, memory = start(library, tmp_path, stall, seed)
    assert sim.read(Register.BUILD) == 0xC0FFEE01
    send(sim, memory, WORDS)
    sim.run(5000)
    assert events(memory, 6) == WANTED
    assert int(memory[LOGITS // 8]) == 1 << 32 | 1 << 31 | 5
    assert sim.interrupt
    sim.write(Register.SEEN, 6)
    sim.run(10)
    assert not sim.interrupt


def test_a_reset_forgets(library, tmp_path):
    sim, memory = start(library, tmp_path)
    send(sim, memory, WORDS)
    sim.reset()
    sim.run(500)
    assert events(memory, 1) == [(0, 0)]
    assert sim.read(Register.COMMANDS + Ring.ADDRESS) == 0


@pytest.mark.parametrize("ring", [Register.COMMANDS, Register.EVENTS, Register.LOGITS])
def test_addresses_where_nothing_is(library, tmp_path, ring):
    sim, memory = start(library, tmp_path)
    sim.write(ring + Ring.ADDRESS_HIGH, 1)
    send(sim, memory, WORDS)
    sim.run(500)
    errors = {
        Register.COMMANDS: Status.COMMANDS_ERROR,
        Register.EVENTS: Status.EVENTS_ERROR,
        Register.LOGITS: Status.LOGITS_ERROR,
    }
    assert sim.read(Register.STATUS) & sum(errors.values()) == errors[ring]


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (Fault(Break.BLOCKED), [(0, 0)] * 6),
        (Fault(Break.DROPPED, 2), [WANTED[0], (0, 0), *WANTED[2:]]),
        (Fault(Break.FLIPPED, 3, 1 << 33 | 4), [*WANTED[:2], (1, 3), *WANTED[3:]]),
        (Fault(Break.SILENT), WANTED),
    ],
)
def test_faults(library, tmp_path, fault, wanted):
    sim, memory = start(library, tmp_path, 0.1)
    sim.fault(fault)
    send(sim, memory, WORDS)
    sim.run(2000)
    assert events(memory, 6) == wanted
    assert sim.interrupt == (fault.what is not Break.SILENT)
    assert bool(sim.read(Register.STATUS) & Status.IDLE) == (fault.what is not Break.BLOCKED)
