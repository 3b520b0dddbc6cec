"""The hardware hand-off: what PYNQ looks for in it, from the board's description."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from edgellm import registers
from edgellm.compiler import block_design, boards, hwh, shell

WITH_PROCESSORS = [name for name in boards.names() if boards.load(name).ps]
BUILD = 0xC0FFEE01


def module(name: str, cell: str) -> Element:
    board = boards.load(name)
    assert board.ps
    root = ElementTree.fromstring(hwh.text(board.ps, board.part, BUILD, board.clock_mhz))
    assert root.find("EXTERNALPORTS") is not None  # PYNQ asks for it even when it is empty
    assert root.find("SYSTEMINFO").get("NAME") == block_design.NAME
    return next(m for m in root.iter("MODULE") if m.get("INSTANCE") == cell)


def parameters(element: Element) -> dict[str, str]:
    return {p.get("NAME"): p.get("VALUE") for p in element.iter("PARAMETER")}


@pytest.mark.parametrize("name", WITH_PROCESSORS)
def test_the_registers_lie_where_the_board_says(name: str) -> None:
    ps = boards.load(name).ps
    ranges = {r.get("INSTANCE"): r.attrib for r in module(name, "ps").iter("MEMRANGE")}
    found = ranges["accelerator"]
    assert int(found["BASEVALUE"], 16) == ps.registers_address
    assert int(found["HIGHVALUE"], 16) - ps.registers_address + 1 == registers.PAGE
    assert (found["MASTERBUSINTERFACE"], found["SLAVEBUSINTERFACE"]) == (ps.registers_port, "s_axi")
    assert int(ranges["irq_controller"]["BASEVALUE"], 16) > int(found["HIGHVALUE"], 16)


@pytest.mark.parametrize("name", WITH_PROCESSORS)
def test_the_masters_reach_the_memory(name: str) -> None:
    ps = boards.load(name).ps
    ranges = {r.get("MASTERBUSINTERFACE"): r.attrib for r in module(name, "accelerator").iter("MEMRANGE")}
    assert set(ranges) == set(shell.MASTERS)
    for found in ranges.values():
        assert (found["INSTANCE"], found["SLAVEBUSINTERFACE"]) == ("ps", ps.memory_port)
        assert (int(found["BASEVALUE"], 16), int(found["HIGHVALUE"], 16)) == (0, ps.memory_bytes - 1)


def test_what_the_accelerator_is() -> None:
    found = module("kv260", "accelerator")
    assert found.get("VLNV") == registers.VLNV
    assert parameters(found) == {"BUILD": "0xC0FFEE01"}
    offsets = {
        r.get("NAME"): int(r.find("PROPERTY[@NAME='ADDRESS_OFFSET']").get("VALUE"), 16)
        for r in found.iter("REGISTER")
    }
    assert offsets["STATUS"] == registers.Register.STATUS
    assert offsets["LOGITS_HOST_COUNT"] == registers.Register.LOGITS + registers.Ring.HOST_COUNT
    assert sorted(offsets.values()) == list(offsets.values())
    clock = next(p for p in found.iter("PORT") if p.get("NAME") == "ap_clk")
    assert clock.get("CLKFREQUENCY") == "200000000"
    kinds = {b.get("NAME"): b.get("TYPE") for b in found.iter("BUSINTERFACE")}
    assert kinds == {"s_axi": "TARGET", **dict.fromkeys(shell.MASTERS, "INITIATOR")}


@pytest.mark.parametrize(("name", "pin"), [("aup-zu3", "pl_ps_irq0"), ("pynq-z2", "IRQ_F2P")])
def test_the_interrupt_reaches_the_processors(name: str, pin: str) -> None:
    def ends(cell: str) -> set[tuple[str, str, str]]:
        return {
            (port.get("NAME"), end.get("INSTANCE"), end.get("PORT"))
            for port in module(name, cell).iter("PORT")
            for end in port.iter("CONNECTION")
        }

    assert ends("accelerator") == {("interrupt", "irq_controller", "intr")}
    assert ends("irq_controller") == {("intr", "accelerator", "interrupt"), ("irq", "ps", pin)}
    assert ends("ps") == {(pin, "irq_controller", "irq")}


def test_all_four_clocks_are_described_and_one_runs() -> None:
    found = parameters(module("zcu104", "ps"))
    assert [found[f"PSU__FPGA_PL{i}_ENABLE"] for i in range(4)] == ["1", "0", "0", "0"]
    assert found["PSU__CRL_APB__PL0_REF_CTRL__DIVISOR0"] == "15"  # of 1500 MHz
    assert found["PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"] == "100.000000"  # PYNQ 4 sets the clock by it
    assert found["C_SAXIGP2_DATA_WIDTH"] == "128"
    zynq = parameters(module("pynq-z2", "ps"))
    assert (zynq["PCW_FPGA_FCLK0_ENABLE"], zynq["PCW_FCLK0_PERIPHERAL_DIVISOR0"]) == ("1", "10")


def test_one_port_of_each_kind_is_on() -> None:
    told = block_design.parameters(boards.load("aup-zu3").ps)
    assert {name for name, value in told.items() if "_AXI_" in name and value == "1"} == {
        "PSU__USE__M_AXI_GP0",
        "PSU__USE__S_AXI_GP2",
    }
    assert told["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"] == "100"
