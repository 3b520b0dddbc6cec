"""The stand-ins for FINN modules that Verilator rejects behave like the originals, cycle by cycle."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import finn
import numpy as np
import pytest
from rtl_modules import RTL

from edgellm.compiler import portable
from edgellm.errors import SimulationError, UsageError
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Simulation

pytestmark = [pytest.mark.sim, pytest.mark.fpga]

FINN_RTL = Path(str(next(iter(finn.__path__)))) / "finn-rtllib"

FIFO_TOP = """
module top (
    input logic ap_clk, input logic ap_rst_n,
    input logic [{w}-1:0] in0_V_TDATA, input logic in0_V_TVALID, output logic in0_V_TREADY,
    output logic [{w}-1:0] out0_V_TDATA, output logic out0_V_TVALID, input logic out0_V_TREADY,
    output logic [31:0] out1_V_TDATA, output logic out1_V_TVALID, input logic out1_V_TREADY);
  logic [$clog2({depth} + 1):0] count, maxcount;
  fifo #(.DEPTH({depth}), .DATA_WIDTH({w}), .RAM_STYLE("{style}")) dut (
      .clk(ap_clk), .rst(!ap_rst_n), .idat(in0_V_TDATA), .ivld(in0_V_TVALID), .irdy(in0_V_TREADY),
      .odat(out0_V_TDATA), .ovld(out0_V_TVALID), .ordy(out0_V_TREADY), .count, .maxcount);
  assign out1_V_TDATA = {{16'(maxcount), 16'(count)}};
  always_ff @(posedge ap_clk) out1_V_TVALID <= ap_rst_n;
endmodule
"""
OWN_FIFO = RTL / "finn_sim" / "fifo.sv"
WIDTH = 40
DEPTHS = [(2, "auto"), (16, "auto"), (100, "auto"), (40, "block"), (700, "block")]


def acceptable_original() -> str:
    """FINN's fifo.sv with the constant function that Verilator rejects written as constants."""
    text = (FINN_RTL / "fifo" / "hdl" / "fifo.sv").read_text()
    constants = """
    localparam int unsigned WHOLE = $clog2(DEPTH_REQ);
    localparam int unsigned REST = WHOLE > 0? $clog2(DEPTH_REQ - 2**(WHOLE-1)) : 0;
    localparam bit SPLIT = WHOLE > MIN_ABITS && REST < WHOLE-1;
    localparam int unsigned ABITS_LO = SPLIT? WHOLE-1 : WHOLE;
    localparam int unsigned ABITS_HI = SPLIT? (REST < 1? 1 : REST) : 0;
    """
    text, found = re.subn(r"typedef struct \{.*?= INIT_ABITS\(\);", constants, text, count=1, flags=re.DOTALL)
    assert found == 1
    return text.replace("ABITS.lo", "ABITS_LO").replace("ABITS.hi", "ABITS_HI")


def fifo_sim(source: Path, folder: Path, depth: int, style: str) -> Simulation:
    folder.mkdir()
    (folder / "top.sv").write_text(FIFO_TOP.format(w=WIDTH, depth=depth, style=style))
    return Simulation(verilator.build("top", [source, folder / "top.sv"]))


def fifo_run(sim: Simulation, depth: int) -> tuple[np.ndarray, ...]:
    """Everything seen at the ports of a FIFO under a fixed random load, which goes by its depth."""
    sim.reset()
    start = np.uint64(sim.cycle)
    seen: list[np.ndarray] = []
    sent = np.random.default_rng(1).integers(0, 256, (4 * depth + 300, WIDTH // 8)).astype(np.uint8)
    for stall_in, stall_out, share in ((0.0, 1.0, 0.5), (0.9, 0.0, 0.5), (0.3, 0.3, 1.0)):
        count = int(len(sent) * share)
        sim.push("in0", sent[:count])
        sim.run(1500 + depth, stall_in=stall_in, stall_out={"out0": stall_out}, seed=depth)
        for port in ("out0", "out1"):
            rows, cycles = sim.pop(port)
            seen += [rows, cycles - start]
        seen.append(sim.accepted("in0") - start)
    return tuple(seen)


@pytest.mark.parametrize(("depth", "style"), DEPTHS)
def test_fifo(depth: int, style: str, tmp_path: Path) -> None:
    original = tmp_path / "fifo.sv"
    original.write_text(acceptable_original())
    expected = fifo_run(fifo_sim(original, tmp_path / "finn", depth, style), depth)
    got = fifo_run(fifo_sim(OWN_FIFO, tmp_path / "own", depth, style), depth)
    assert sum(len(part) for part in expected[::5]) > depth
    for ours, theirs in zip(got, expected, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("depth", "less", "style"), [(30, 3, "auto"), (100, 40, "auto"), (200, 12, "auto"), (1500, 700, "block")]
)
def test_a_restricted_fifo_is_a_shallower_one(depth: int, less: int, style: str, tmp_path: Path) -> None:
    built = fifo_run(fifo_sim(OWN_FIFO, tmp_path / "built", less, style), less)
    sim = fifo_sim(OWN_FIFO, tmp_path / "restricted", depth, style)
    (fifo,) = sim.fifos()
    assert (fifo.path, fifo.depth, fifo.bits) == ("TOP.top.dut", depth, WIDTH)
    free = fifo_run(sim, less)
    sim.restrict(fifo, less)
    got = fifo_run(sim, less)
    assert all(np.array_equal(a, b) for a, b in zip(got, built, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(got, free, strict=True))


def test_what_a_restriction_may_be(tmp_path: Path) -> None:
    sim = fifo_sim(OWN_FIFO, tmp_path / "own", 16, "auto")
    for depth in (1, 17):
        with pytest.raises(UsageError, match=f"TOP.top.dut: depth {depth}, must be 2 to 16"):
            sim.restrict(sim.fifos()[0], depth)


def test_the_fullest_moment_is_remembered(tmp_path: Path) -> None:
    sim = fifo_sim(OWN_FIFO, tmp_path / "own", 16, "auto")
    sim.reset()
    sim.push("in0", np.zeros((9, WIDTH // 8), np.uint8))
    sim.run(100, stall_out={"out0": 1.0})
    sim.run(100)
    assert sim.fifos()[0].peak == 9
    sim.reset()
    assert sim.fifos()[0].peak == 0


def test_fifo_has_no_ultraram(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="DEPTH=4000 would take UltraRAM"):
        fifo_sim(OWN_FIFO, tmp_path / "own", 4000, "auto")


ADD_TOP = """
module top (
    input logic ap_clk, input logic ap_rst_n,
    input logic [{n}*8-1:0] in0_V_TDATA, input logic in0_V_TVALID, output logic in0_V_TREADY,
    output logic [15:0] out0_V_TDATA, output logic out0_V_TVALID, input logic out0_V_TREADY);
  logic [7:0] arg[{n}];
  for (genvar i = 0; i < {n}; i++) assign arg[i] = in0_V_TDATA[8*i+:8];
  logic [mvu_pkg::sumwidth({n}, 8, {lo}, {hi})-1:0] sum;
  add_multi #(.N({n}), .DEPTH({depth}), .ARG_WIDTH(8), .ARG_LO({lo}), .ARG_HI({hi})) dut (
      .clk(ap_clk), .rst(!ap_rst_n), .en(1'b1), .arg, .sum);
  logic [{depth}:0] valid;
  assign valid[0] = in0_V_TVALID;
  always_ff @(posedge ap_clk) for (int i = 0; i < {depth}; i++) valid[i+1] <= ap_rst_n && valid[i];
  assign in0_V_TREADY = 1'b1;
  assign out0_V_TVALID = valid[{depth}];
  assign out0_V_TDATA = {signed} ? 16'($signed(sum)) : 16'(sum);
endmodule
"""


@pytest.mark.parametrize(("n", "depth", "low", "high"), [(8, 2, 0, 0), (5, 4, -128, 127), (1, 1, 0, 0)])
def test_add_multi(n: int, depth: int, low: int, high: int, tmp_path: Path) -> None:
    fields = {"n": n, "depth": depth, "lo": low, "hi": high, "signed": int(low < 0)}
    (tmp_path / "top.sv").write_text(ADD_TOP.format(**fields))
    package, adder = FINN_RTL / "mvu" / "mvu_pkg.sv", tmp_path / "add_multi.sv"
    adder.write_text(portable.text(adder.name, (FINN_RTL / "mvu" / adder.name).read_text()))
    sim = Simulation(verilator.build("top", [package, adder, tmp_path / "top.sv"]))
    sim.reset()
    pick: Callable[..., np.ndarray] = np.random.default_rng(n).integers
    values = pick(-128, 128, (300, n)) if low < 0 else pick(0, 256, (300, n))
    values[0], values[1] = values.max(), values.min()
    sim.push("in0", streams.pack(values, 8))
    assert sim.run(2000, {"out0": 300})
    rows, cycles = sim.pop("out0")
    assert np.array_equal(streams.unpack(rows, 16, 1, signed=low < 0)[:, 0], values.sum(axis=1))
    assert np.array_equal(cycles, sim.accepted("in0") + depth)
