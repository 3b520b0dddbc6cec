"""FINN's SystemVerilog without what Verilator and slang (which reads it for Yosys) reject; the hardware stays the same.

Both reject a constant function in a generate block, and slang a default net type inside of a module and delays that set
registers. A text that is not the one known here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgellm.errors import CompileError

_NET_TYPE = re.compile(r"^`default_nettype .*\n", re.MULTILINE)

# memstream.sv: the table of offsets becomes a product
_TABLE = """		// Stream Offsets through Lookup Table
		typedef addr_t  offset_table_t[SETS];
		function offset_table_t INIT_OFFSET_TABLE();
			automatic offset_table_t  res;
			foreach(res[i])  res[i] = i*DEPTH;
			return  res;
		endfunction : INIT_OFFSET_TABLE
		localparam offset_table_t  OFFSET_TABLE = INIT_OFFSET_TABLE();

"""
_LOOK_UP, _PRODUCT = "OFFSET_TABLE[sidx]", "addr_t'(sidx*DEPTH)"

# add_multi.sv: the function knows nothing of its block and can stand before it
_LOADS = re.compile(r"\t\ttypedef int unsigned  leaf_load_t.*?endfunction : init_leaf_loads\n", re.DOTALL)
_TREE = "\tif(L < 1) begin : genTrivial\n"

# mvu.sv: a watchdog for simulations, which assigns in an initial block after 100 ns
_WATCHDOG = re.compile(r"\tif\(1\) begin : blkRecoveryWatch\n.*?end : blkRecoveryWatch\n", re.DOTALL)


def text(name: str, source: str) -> str:
    """The text of FINN's file of that name. Raises: CompileError."""
    patch = PATCHES.get(name)
    source = _NET_TYPE.sub("", source)
    return patch(source) if patch else source


def _memstream(source: str) -> str:
    if source.count(_TABLE) != 1 or source.count(_LOOK_UP) != 1:
        raise _unknown("memstream.sv")
    return source.replace(_TABLE, "").replace(_LOOK_UP, _PRODUCT)


def _add_multi(source: str) -> str:
    loads = _LOADS.findall(source)
    if len(loads) != 1 or source.count(_TREE) != 1:
        raise _unknown("add_multi.sv")
    return source.replace(loads[0], "").replace(_TREE, loads[0] + _TREE)


def _mvu(source: str) -> str:
    if len(_WATCHDOG.findall(source)) != 1:
        raise _unknown("mvu.sv")
    return _WATCHDOG.sub("", source)


def _unknown(name: str) -> CompileError:
    return CompileError(f"{name} of this FINN is not the one known here: install finn-plus 1.6.1")


PATCHES: dict[str, Callable[[str], str]] = {
    "memstream.sv": _memstream,
    "add_multi.sv": _add_multi,
    "mvu.sv": _mvu,
}
