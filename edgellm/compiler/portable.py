"""FINN's SystemVerilog without what Verilator and slang (which reads it for Yosys) reject; the hardware stays the same.

Both reject a constant function in a generate block, and slang a default net type inside of a module and delays that set
registers. A text that is not the one known here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgellm.errors import CompileError

_NET_TYPE = re.compile(r"^`default_nettype .*\n", re.MULTILINE)

# memstream.sv: the table of offsets becomes a product; Yosys knows the attribute by its lower-case name only
_TABLE = """		// Stream Offsets through Lookup Table
		typedef addr_t  offset_table_t[SETS];
		function offset_table_t INIT_OFFSET_TABLE();
			automatic offset_table_t  res;
			foreach(res[i])  res[i] = i*DEPTH;
			return  res;
		endfunction : INIT_OFFSET_TABLE
		localparam offset_table_t  OFFSET_TABLE = INIT_OFFSET_TABLE();

"""
_MEMSTREAM = (
    (_TABLE, ""),
    ("OFFSET_TABLE[sidx]", "addr_t'(sidx*DEPTH)"),
    ("(* RAM_STYLE = RAM_STYLE *)", "(* ram_style = RAM_STYLE *)"),
)

# add_multi.sv: the function knows nothing of its block and can stand before it
_LOADS = re.compile(r"\t\ttypedef int unsigned  leaf_load_t.*?endfunction : init_leaf_loads\n", re.DOTALL)
_TREE = "\tif(L < 1) begin : genTrivial\n"

# mvu.sv: a watchdog for simulations, which assigns in an initial block after 100 ns
_WATCHDOG = re.compile(r"\tif\(1\) begin : blkRecoveryWatch\n.*?end : blkRecoveryWatch\n", re.DOTALL)

# mvu_vvu_axi.sv and fifo.sv: queues that Vivado makes shift registers of, and Yosys registers and multiplexers
TAPS = "shift_taps"  # hw/rtl
QUEUE = (
    (
        """		(* SHREG_EXTRACT = "YES" *)
		output_t  OBuf[0:MAX_IN_FLIGHT];
""",
        """		output_t  OTap;
		shift_taps #(.W(PE*ACCU_WIDTH), .DEPTH(MAX_IN_FLIGHT+1)) obuf (
			.ap_clk, .shift(ovld), .d(odat), .tap(OPtr[$left(OPtr)-1:0]), .q(OTap)
		);
""",
    ),
    (
        """		always_ff @(posedge ap_clk) begin
			if(ovld)  OBuf <= { odat, OBuf[0:MAX_IN_FLIGHT-1] };
		end
""",
        "",
    ),
    ("OReg <= OBuf[OPtr[$left(OPtr)-1:0]];", "OReg <= OTap;"),
)
FIFO = (
    (
        """		(* SHREG_EXTRACT = "yes" *) dat_t  A[DEPTH_IMPL];
""",
        "",
    ),
    (
        """		always_ff @(posedge clk) begin
			if(push)  A <= { idat, A[0:DEPTH_IMPL-2] };
		end
""",
        """		dat_t  Tap;
		shift_taps #(.W(DATA_WIDTH), .DEPTH(DEPTH_IMPL)) taps (
			.ap_clk(clk), .shift(push), .d(idat), .tap(Ptr[$left(Ptr)-1:0]), .q(Tap)
		);
""",
    ),
    ("B <= A[Ptr[$left(Ptr)-1:0]];", "B <= Tap;"),
)


def text(name: str, source: str) -> str:
    """The text of FINN's file of that name. Raises: CompileError."""
    patch = PATCHES.get(name)
    source = _NET_TYPE.sub("", source)
    return patch(source) if patch else source


def _memstream(source: str) -> str:
    return _replaced("memstream.sv", source, _MEMSTREAM)


def _add_multi(source: str) -> str:
    loads = _LOADS.findall(source)
    if len(loads) != 1 or source.count(_TREE) != 1:
        raise _unknown("add_multi.sv")
    return source.replace(loads[0], "").replace(_TREE, loads[0] + _TREE)


def _mvu(source: str) -> str:
    if len(_WATCHDOG.findall(source)) != 1:
        raise _unknown("mvu.sv")
    return _WATCHDOG.sub("", source)


def _output_queue(source: str) -> str:
    return _replaced("mvu_vvu_axi.sv", source, QUEUE)


def _fifo(source: str) -> str:
    return _replaced("fifo.sv", source, FIFO)


def _replaced(name: str, source: str, changes: Sequence[tuple[str, str]]) -> str:
    for known, changed in changes:
        if source.count(known) != 1:
            raise _unknown(name)
        source = source.replace(known, changed)
    return source


def _unknown(name: str) -> CompileError:
    return CompileError(f"{name} of this FINN is not the one known here: install finn-plus 1.6.1")


PATCHES: dict[str, Callable[[str], str]] = {
    "memstream.sv": _memstream,
    "add_multi.sv": _add_multi,
    "mvu.sv": _mvu,
    "mvu_vvu_axi.sv": _output_queue,
    "fifo.sv": _fifo,
}
