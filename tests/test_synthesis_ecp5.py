"""Place and route for ECP5: a clock, cells, a bitstream; errors that say what went wrong."""

import importlib.util

import pytest
from test_synthesis_yosys import COUNTER, library, place  # noqa: F401

from edgellm.errors import CompileError, ToolMissing
from edgellm.synthesis import ecp5

pytestmark = pytest.mark.synth


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_a_module_alone_has_a_clock_and_cells(place, work):  # noqa: F811
    placed = ecp5.place(library(place, counter=COUNTER.replace("NAME", "counter")), "counter", work)
    assert placed.mhz > 50
    used, there = placed.used["TRELLIS_FF"]
    assert (used, there) == (8, 83640)
    assert not (work / ecp5.BITSTREAM).exists()
    assert placed.to_dict()["used"]["TRELLIS_FF"] == [8, 83640]


def test_a_chip_has_a_bitstream(place, work):  # noqa: F811
    ecp5.place(library(place, counter=COUNTER.replace("NAME", "counter")), "counter", work, pads=True)
    stream = (work / ecp5.BITSTREAM).read_bytes()
    assert b"LFE5U-85F" in stream[:200]
    assert len(stream) > 10_000


def test_without_registers_there_is_no_clock(place, work):  # noqa: F811
    wires = "module wires (input logic x, output logic y); assign y = ~x; endmodule\n"
    with pytest.raises(CompileError, match=r"wires: nextpnr reports no clock"):
        ecp5.place(library(place, wires=wires), "wires", work)


def test_what_nextpnr_says_is_told(place, work):  # noqa: F811
    much = "module much (input logic ap_clk, input logic [999:0] x, output logic [999:0] y);\n"
    much += "always_ff @(posedge ap_clk) y <= x;\nendmodule\n"
    with pytest.raises(CompileError, match=r"much: nextpnr_ecp5 failed \(exit \d+\):\nERROR"):
        ecp5.place(library(place, much=much), "much", work, pads=True)


def test_nextpnr_must_be_installed(place, work, monkeypatch):  # noqa: F811
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == ecp5.PACKAGE else found(name)
    )
    with pytest.raises(ToolMissing, match=r"nextpnr is not installed: pip install 'edgellm\[synth\]'"):
        ecp5.place(library(place, counter=COUNTER), "counter", work)
