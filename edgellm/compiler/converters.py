"""Width converters of a design: the project's own where one width divides the other, FINN's general one elsewhere.

FINN's takes any two widths by rotating whole beats: eight LUTs a bit of the wider stream by Yosys' count. A shift register of the
wider width does the same for whole factors with one.
"""

from __future__ import annotations

from edgellm.compiler import rtl_library

MODULE = "width_converter"  # hw/rtl
_WRAPPER = """// {ins} to {outs} bits a beat.
module {name} (
    input  wire ap_clk,
    input  wire ap_rst_n,
    input  wire [{in_top}:0] in0_V_TDATA,
    input  wire in0_V_TVALID,
    output wire in0_V_TREADY,
    output wire [{out_top}:0] out0_V_TDATA,
    output wire out0_V_TVALID,
    input  wire out0_V_TREADY
);
  {module} #(
      .IN_BITS ({ins}),
      .OUT_BITS({outs})
  ) converter (
      .ap_clk(ap_clk),
      .ap_rst_n(ap_rst_n),
      .in0_V_TDATA(in0_V_TDATA),
      .in0_V_TVALID(in0_V_TVALID),
      .in0_V_TREADY(in0_V_TREADY),
      .out0_V_TDATA(out0_V_TDATA),
      .out0_V_TVALID(out0_V_TVALID),
      .out0_V_TREADY(out0_V_TREADY)
  );
endmodule
"""


def divides(a: int, b: int) -> bool:
    """Whether one of the two is a multiple of the other."""
    return max(a, b) % min(a, b) == 0


def files(name: str, ins: int, outs: int) -> dict[str, str]:
    """File name -> text of node `name`, from `ins` to `outs` bits a beat, of which one divides the other."""
    tops = {"in_top": _padded(ins) - 1, "out_top": _padded(outs) - 1}
    path = rtl_library.path(MODULE)
    wrapper = _WRAPPER.format(name=name, module=MODULE, ins=ins, outs=outs, **tops)
    return {f"{name}.v": wrapper, path.name: path.read_text(encoding="utf-8")}


def _padded(bits: int) -> int:
    return (bits + 7) // 8 * 8
