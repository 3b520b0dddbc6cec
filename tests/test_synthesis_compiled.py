"""Compiled designs in Yosys: FINN's files, ours and the whole top, with the multipliers that the formulas promise."""

from __future__ import annotations

from pathlib import Path

import finn
import pytest
from compiled import design
from shapes import TINY

from edgellm.compiler import costs, portable, report
from edgellm.synthesis import count, yosys
from edgellm.synthesis.dependencies import Library

pytestmark = [pytest.mark.synth, pytest.mark.fpga]
STORE = """module store (
    input logic clk, rst, sidx, svld, ordy, ce, we, input logic [6:0] address, input logic [15:0] d0,
    output logic srdy, ovld, output logic [15:0] odat
);
  memstream #(.SETS(2), .DEPTH(64), .WIDTH(16), .INIT_FILE("weights.dat"), .RAM_STYLE("@")) weights (
      .clk, .rst, .config_ce(ce), .config_we(we), .config_address(address), .config_d0(d0),
      .config_rack(), .config_q0(), .sidx, .svld, .srdy, .ordy, .ovld, .odat);
endmodule
"""


@pytest.mark.parametrize("family", ["xcup", "xc7"])
def test_a_matrix_unit_packs_its_products(family: str) -> None:
    folder = design(TINY, 1, 2)
    library = Library(folder, (folder / "files.f").read_text().split())
    unit = next(row for row in report.load(folder)["nodes"] if row["node"] == "gate_up_acc")
    counted = yosys.count(library, "gate_up_acc_block", family)
    pe, simd = unit["folding"]["PE"], unit["folding"]["SIMD"]
    assert counted["dsp"] == costs.matmul_dsps("DSP48E2", pe, simd, 4) == unit["dsp"]
    assert counted["lut"] > 0


@pytest.mark.parametrize(("style", "blocks"), [("block", 1), ("distributed", 0)])
def test_weights_lie_where_the_compiler_wants_them(style: str, blocks: int, tmp_path: Path) -> None:
    """FINN's memory of weights, of a size that Yosys would put into LUTs by itself."""
    source = Path(str(next(iter(finn.__path__)))) / "finn-rtllib/memstream/hdl/memstream.sv"
    (tmp_path / "memstream.sv").write_text(portable.text(source.name, source.read_text()))
    (tmp_path / "weights.dat").write_text("".join(f"{37 * n % 65536:04x}\n" for n in range(128)))
    (tmp_path / "store.sv").write_text(STORE.replace("@", style))
    counted = yosys.count(Library(tmp_path, ["memstream.sv", "store.sv"]), "store", "xcup")
    assert counted["bram18"] == blocks


@pytest.mark.campaign
def test_the_whole_top() -> None:
    folder = design(TINY, 1, 2)
    whole = count.whole(folder)
    assert whole["dsp"] == sum(row["dsp"] for row in report.load(folder)["nodes"])
    assert whole["lut"] > 0
