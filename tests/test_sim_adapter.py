"""Model headers to harness adapters."""

from __future__ import annotations

import pytest

from edgellm.errors import SimulationError
from edgellm.sim import adapter

CLOCKS = "VL_IN8(&ap_clk,0,0);\nVL_IN8(&ap_rst_n,0,0);\n"


def stream(name: str, width: str, inward: bool = True) -> str:
    ahead, back = ("IN", "OUT") if inward else ("OUT", "IN")
    return f"VL_{ahead}{width};\nVL_{ahead}8(&{name}_V_TVALID,0,0);\nVL_{back}8(&{name}_V_TREADY,0,0);\n"


def test_streams_in_port_order_with_widths() -> None:
    header = CLOCKS + "".join(
        [
            stream("in10", "W(&in10_V_TDATA,519,0,17)"),
            stream("out0", "64(&out0_V_TDATA,63,0)", inward=False),
            stream("in2", "8(&in2_V_TDATA,7,0)"),
            stream("in1", "(&in1_V_TDATA,31,0)"),
        ]
    )
    found = adapter.streams("top", header)
    assert [(s.name, s.bits, s.is_input) for s in found] == [
        ("in1", 32, True),
        ("in2", 8, True),
        ("in10", 520, True),
        ("out0", 64, False),
    ]
    source = adapter.source("Vtop", found, 3)
    assert '{"in10", true, 520, &top.in10_V_TDATA, &top.in10_V_TVALID, &top.in10_V_TREADY},' in source
    assert "context->threads(3);" in source


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            CLOCKS + "VL_IN8(&irq,0,0);",
            "module top: port irq is neither ap_clk, ap_rst_n nor part of an AXI4-Stream",
        ),
        ("VL_IN8(&ap_clk,0,0);", "module top has no port ap_rst_n"),
        (
            CLOCKS + "VL_IN8(&in0_V_TDATA,7,0);",
            "module top: stream in0 has no port in0_V_TVALID, in0_V_TREADY",
        ),
    ],
)
def test_other_ports_are_refused(header: str, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        adapter.streams("top", header)
