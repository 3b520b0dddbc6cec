"""FINN's matrix unit and its weight memory as one module with one port per stream.

FINN leaves it to Vivado to join the two; here a wrapper does. The selector stream goes to the memory.
"""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from pathlib import Path
from typing import Any

from edgellm.compiler.ops.matmul import SELECT, WEIGHTS

_MEMORY_PORTS = (
    *("s_axilite_AWVALID", "s_axilite_WVALID", "s_axilite_BREADY"),
    *("s_axilite_ARVALID", "s_axilite_RREADY"),
)


def module_name(node: str) -> str:
    """Module that joins matrix unit and weight memory of a node."""
    return f"{node}_block"


def memory_sources(rtllib: Path, op: Any) -> list[Path]:
    """Files of the weight memory, which FINN's get_rtl_file_list leaves out."""
    wrapper = Path(op.get_nodeattr("code_gen_dir_ipgen")) / f"{op.onnx_node.name}_memstream_wrapper.v"
    names = ("memstream/hdl/memstream.sv", "memstream/hdl/memstream_axi.sv", "axi/hdl/axilite.sv")
    return [*(rtllib / name for name in names), wrapper]


def joined(op: Any) -> str:
    """Verilog of the module that joins them."""
    node, sets = op.onnx_node.name, max(1, op.sets())
    selected = len(op.onnx_node.input) > SELECT
    widths = [("in0", "input", op.get_instream_width_padded(0))]
    if selected:
        widths.append(("in2", "input", op.get_instream_width_padded(SELECT)))
    widths.append(("out0", "output", op.get_outstream_width_padded(0)))
    ports = ["input ap_clk", "input ap_rst_n", *(line for port in widths for line in _port(*port))]
    width = op.get_instream_width_padded(WEIGHTS)
    uses_selector = selected and sets > 1
    return f"""module {module_name(node)} (
  {_lines(ports)}
);
  wire [{width - 1}:0] weights_tdata;
  wire weights_tvalid, weights_tready;
{"" if uses_selector or not selected else "  assign in2_V_TREADY = 1'b1;  // one set"}
  {node}_memstream_wrapper memory (
  {_lines(_memory_pins(sets if uses_selector else 1))}
  );
  {op.get_verilog_top_module_name()} unit (
  {_lines(_unit_pins())}
  );
endmodule
"""


def _port(name: str, direction: str, width: int) -> list[str]:
    back = "output" if direction == "input" else "input"
    return [
        f"{direction} [{width - 1}:0] {name}_V_TDATA",
        f"{direction} {name}_V_TVALID",
        f"{back} {name}_V_TREADY",
    ]


def _memory_pins(sets: int) -> list[str]:
    pins = [".ap_clk(ap_clk)", ".ap_clk2x(ap_clk)", ".ap_rst_n(ap_rst_n)"]
    pins += [f".{port}(1'b0)" for port in _MEMORY_PORTS]
    if sets > 1:
        high = max(1, (sets - 1).bit_length()) - 1
        pins += [f".s_axis_0_tdata(in2_V_TDATA[{high}:0])", ".s_axis_0_tvalid(in2_V_TVALID)"]
        pins.append(".s_axis_0_tready(in2_V_TREADY)")
    else:
        pins += [".s_axis_0_tdata(1'b0)", ".s_axis_0_tvalid(1'b0)"]
    return [*pins, *(f".m_axis_0_t{s}(weights_t{s})" for s in ("data", "valid", "ready"))]


def _unit_pins() -> list[str]:
    pins = [".ap_clk(ap_clk)", ".ap_clk2x(ap_clk)", ".ap_rst_n(ap_rst_n)"]
    for port in ("in0", "out0"):
        pins += [f".{port}_V_{s}({port}_V_{s})" for s in ("TDATA", "TVALID", "TREADY")]
    return [*pins, *(f".in1_V_T{s.upper()}(weights_t{s})" for s in ("data", "valid", "ready"))]


def _lines(items: list[str]) -> str:
    return ",\n  ".join(items)
