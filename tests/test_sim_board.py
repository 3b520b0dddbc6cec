"""The simulated board as PYNQ sees it: memory, registers, interrupt controller, stand-in for a bitstream."""

from __future__ import annotations

import shutil

import boards
import numpy as np
import pynq
import pytest

from edgellm import cache
from edgellm.bundle import bitfile
from edgellm.errors import SimulationError
from edgellm.registers import Register
from edgellm.sim import board as simulated
from edgellm.sim import stand_in
from edgellm.sim.board_fabric import Fabric, Places
from edgellm.sim.board_memory import PAGE, Dram
from edgellm.sim.board_registers import InterruptController, Mapped, Plain

pytestmark = pytest.mark.board


@pytest.fixture
def board():
    return boards.install()


def test_memory_is_not_coherent(board):
    buffer = pynq.allocate((1000,), "u4")
    assert (buffer.device_address % PAGE, buffer.device_address >> 32) == (0, 8)
    dram, at = board.fabric.dram.data, buffer.device_address - board.fabric.dram.base
    buffer[:] = 7
    assert not (dram[at : at + 4000].view(np.uint32) == 7).any()
    buffer[:500].flush()
    assert (dram[at : at + 4000].view(np.uint32) == 7).sum() == 500
    dram[at : at + 4000] = 9
    assert (buffer == 7).all()
    buffer[10:20].invalidate()
    assert (buffer != 7).sum() == 10


def test_memory_is_given_back(board):
    first = pynq.allocate((3000,), "u1").device_address
    pages = [pynq.allocate((1 << 20,), "u1") for _ in range(60)]
    assert len({page.device_address for page in pages}) == 60
    with pytest.raises(MemoryError, match=r"^the simulated board has no 33554432 bytes left$"):
        pynq.allocate((1 << 25,), "u1")
    del pages
    again = [pynq.allocate((1 << 20,), "u1") for _ in range(60)]
    assert first < max(page.device_address for page in again)


def test_no_memory_is_0_by_luck():
    assert Dram(0, 1 << 16).data.any()
    assert any(Dram(0, 1 << 16).garbage(100))


def test_time_passes_as_the_host_looks(board):
    pynq.Overlay(str(boards.design() / "accelerator.bit"))
    buffer, before = pynq.allocate((8,), "u1"), board.fabric.simulation.cycle
    buffer.flush()
    buffer.invalidate()
    assert board.fabric.simulation.cycle == before + 128


def test_registers_and_their_count(board):
    overlay = pynq.Overlay(str(boards.design() / "accelerator.bit"))
    mmio = pynq.MMIO(overlay.ip_dict["accelerator"]["phys_addr"], 256)
    board.fabric.accesses.clear()
    mmio.write(Register.COMMANDS, 0xDEADBEEF)
    assert mmio.read(Register.COMMANDS) == 0xDEADBEEF
    assert board.fabric.accesses == {"accelerator": 2}
    with pytest.raises(
        OSError, match=r"^bus error: nothing answers at address 0xa0f00000 of the simulated board$"
    ):
        pynq.MMIO(0xA0F00000, 256)


def test_before_a_bitstream_is_loaded_nobody_answers():
    fresh = boards.install()
    with pytest.raises(SimulationError, match=r"^no bitstream is loaded on the simulated board$"):
        fresh.fabric.simulation.read(0)


def test_it_is_there_when_the_variable_says_so(monkeypatch):
    monkeypatch.delenv(simulated.VARIABLE, raising=False)
    assert simulated.SimulatedBoard._probe_() == []
    monkeypatch.setenv(simulated.VARIABLE, str(boards.design()))
    assert [board.name for board in simulated.SimulatedBoard._probe_()] == ["edgellm simulated board"]


def test_a_design_in_the_cache_is_held(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    entry = cache.fetch("bundle", "key", lambda work: shutil.copytree(boards.design(), work / "design"))
    fabric = Fabric(entry / "design", Places(0, None, False))
    assert cache.clear() == 0
    del fabric
    assert cache.clear() > 0


def test_views_of_mapped_registers_still_reach_them():
    block = Plain({8: 5})
    array = Mapped.of(block, 64)
    array[2:4][1] = 77
    assert (array[2], array.view("u4")[3], block.read(12)) == (5, 77, 77)
    block.frozen = True
    array[3] = 1
    assert array[3] == 77


def test_interrupt_controller():
    """As AXI INTC: a level sets the bit, which an acknowledgement clears once the level is gone."""
    intc = InterruptController()
    intc.input(True)
    assert not intc.output
    intc.write(intc.SET, 1)
    intc.write(intc.MASTER, 3)
    assert (intc.output, intc.read(intc.PENDING), intc.read(intc.STATUS)) == (True, 1, 1)
    intc.write(intc.ACKNOWLEDGE, 1)
    assert intc.output
    intc.input(False)
    assert intc.output
    intc.write(intc.ACKNOWLEDGE, 1)
    assert not intc.output
    intc.input(True)
    intc.write(intc.CLEAR, 1)
    assert (intc.output, intc.read(intc.PENDING), intc.read(intc.ENABLE)) == (False, 0, 0)


def test_a_stand_in_is_no_bitstream(tmp_path):
    model = boards.altered(tmp_path, accelerator_bit=None)
    path = stand_in.write(model.parent)
    assert (stand_in.is_one(path), bitfile.read(path).part) == (True, "xczu3eg-sfvc784-2-e")
    path.write_bytes(b"\0" * 100)
    assert stand_in.write(model.parent) == path
    assert path.read_bytes() == b"\0" * 100
    assert not stand_in.is_one(path)
