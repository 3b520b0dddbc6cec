"""Compiled designs in Yosys: FINN's files, ours and the whole top, with the multipliers that the formulas promise."""

from __future__ import annotations

import pytest
from compiled import design
from shapes import TINY

from edgellm.compiler import costs, report
from edgellm.synthesis import count, yosys
from edgellm.synthesis.dependencies import Library

pytestmark = [pytest.mark.synth, pytest.mark.fpga]


@pytest.mark.parametrize("family", ["xcup", "xc7"])
def test_a_matrix_unit_packs_its_products(family: str) -> None:
    folder = design(TINY, 1, 2)
    library = Library(folder, (folder / "files.f").read_text().split())
    unit = next(row for row in report.load(folder)["nodes"] if row["node"] == "gate_up_acc")
    counted = yosys.count(library, "gate_up_acc_block", family)
    pe, simd = unit["folding"]["PE"], unit["folding"]["SIMD"]
    assert counted["dsp"] == costs.matmul_dsps("DSP48E2", pe, simd, 4) == unit["dsp"]
    assert counted["lut"] > 0


@pytest.mark.campaign
def test_the_whole_top() -> None:
    folder = design(TINY, 1, 2)
    whole = count.whole(folder)
    assert whole["dsp"] == sum(row["dsp"] for row in report.load(folder)["nodes"])
    assert whole["lut"] > 0
