"""Synthesis of single modules, and what of it is kept."""

import json

import pytest

from edgellm.compiler import rtl_library
from edgellm.errors import CompileError
from edgellm.synthesis import yosys
from edgellm.synthesis.dependencies import Library

pytestmark = pytest.mark.synth
COUNTER = """module NAME (input logic ap_clk, input logic [7:0] x, output logic [7:0] y);
  always_ff @(posedge ap_clk) y <= y + x;
endmodule
"""
ROM = """module rom (input logic ap_clk, input logic [9:0] x, output logic [15:0] y);
  logic [15:0] table_[1024];
  initial $readmemh("mem/rom.dat", table_);
  always_ff @(posedge ap_clk) y <= table_[x];
endmodule
"""
PRODUCT = """module product (input logic ap_clk, input logic signed [7:0] a, b, output logic signed [15:0] y);
  always_ff @(posedge ap_clk) y <= a * b;
endmodule
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mem").mkdir()
    return tmp_path


def library(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.sv").write_text(text)
    return Library(folder, [f"{name}.sv" for name in modules])


def entries(folder):
    return sorted((folder / "cache" / yosys.KIND).iterdir())


@pytest.mark.parametrize("family", ["xc7", "xcup"])
def test_registers_and_multipliers_are_counted(place, family):
    modules = library(place, counter=COUNTER.replace("NAME", "counter"), product=PRODUCT)
    counter, product = (yosys.count(modules, name, family) for name in ("counter", "product"))
    assert counter["ff"] == 8
    assert 0 < counter["lut"] <= 8
    registers = 0 if family == "xc7" else 16  # Yosys knows the output register of a DSP48E1, not of a DSP48E2
    assert product == {"lut": 0, "ff": registers, "dsp": 1, "bram18": 0, "uram": 0}


def test_a_memory_becomes_a_block(place):
    (place / "mem" / "rom.dat").write_text("\n".join(f"{n * 37 % 65536:04x}" for n in range(1024)))
    assert yosys.count(library(place, rom=ROM), "rom", "xcup")["bram18"] == 1


def test_a_small_table_that_is_to_be_distributed_becomes_logic(place):
    (place / "mem" / "rom.dat").write_text("\n".join(f"{n * 1237 % 65536:04x}" for n in range(64)))
    small = ROM.replace("[1024]", "[64]").replace("[9:0] x", "[5:0] x")
    styled = [
        small.replace("logic [15:0] table_", f'(* rom_style = "{style}" *) logic [15:0] table_')
        for style in ("distributed", "block")
    ]
    logic, block = (yosys.count(library(place, rom=text), "rom", "xcup") for text in styled)
    assert logic["bram18"] == 0
    assert logic["lut"] > 10
    assert block["bram18"] == 1


SHIFTED = """module shifted (input logic ap_clk, push, input logic [3:0] tap, input logic [11:0] d, output logic [11:0] q);
  shift_taps #(.W(12), .DEPTH(16)) taps (.ap_clk, .shift(push), .d, .tap, .q);
endmodule
"""


def test_shift_registers_with_taps_take_a_lut_a_bit(place):
    taps = rtl_library.path("shift_taps").read_text()
    assert yosys.count(library(place, shift_taps=taps, shifted=SHIFTED), "shifted", "xcup") == {
        "lut": 12, "ff": 0, "dsp": 0, "bram18": 0, "uram": 0
    }  # fmt: skip


def test_equal_modules_of_other_names_are_counted_once(place):
    modules = library(place, **{name: COUNTER.replace("NAME", name) for name in ("first", "second")})
    assert yosys.count(modules, "first", "xc7") == yosys.count(modules, "second", "xc7")
    assert len(entries(place)) == 1


def test_other_memory_contents_are_another_entry(place):
    modules = library(place, rom=ROM)
    for word in ("0001", "0002"):
        (place / "mem" / "rom.dat").write_text("\n".join([word] * 1024))
        yosys.count(modules, "rom", "xc7")
    assert len(entries(place)) == 2


def test_an_error_says_what_yosys_says_and_leaves_nothing(place):
    modules = library(place, broken="module broken (input logic a); assign a.b = 1; endmodule\n")
    with pytest.raises(
        CompileError,
        match=r"broken: Yosys failed \(exit \d+\):(.|\n)*broken\.sv:1: ERROR: invalid member access",
    ):
        yosys.count(modules, "broken", "xc7")
    assert entries(place) == []


def test_an_unknown_cell_is_refused_also_from_the_cache(place):
    modules = library(place, counter=COUNTER.replace("NAME", "counter"))
    yosys.count(modules, "counter", "xc7")
    (entries(place)[0] / yosys.CELLS).write_text(json.dumps({"odd": 1}))
    with pytest.raises(CompileError, match="cells odd of unknown cost"):
        yosys.count(modules, "counter", "xc7")


def test_family_of_a_part():
    parts = ("xc7z020clg400-1", "xczu3eg-sfvc784-2-e", "xck26-sfvc784-2LV-c")
    assert [yosys.family(part) for part in parts] == ["xc7", "xcup", "xcup"]
    with pytest.raises(
        CompileError,
        match="no Yosys family for part LFE5U-85F: known are parts that begin with xc7, xcz, xck",
    ):
        yosys.family("LFE5U-85F")


def test_assertions_take_nothing(place):
    checked = COUNTER.replace("NAME", "checked").replace(
        "endmodule", "  always_ff @(posedge ap_clk) assert (y + x != 8'd99);\nendmodule"
    )
    made = library(place, checked=checked, counter=COUNTER.replace("NAME", "counter"))
    assert yosys.count(made, "checked", "xcup") == yosys.count(made, "counter", "xcup")
