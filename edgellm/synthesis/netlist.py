"""From the cells of a Xilinx netlist to what a data sheet counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgellm.errors import CompileError

FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
DISTRIBUTED = {  # LUTs of a memory made of LUTs (UG474, UG574)
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
}
BLOCKS = {  # cell -> resource, how many
    "DSP48E1": ("dsp", 1),
    "DSP48E2": ("dsp", 1),
    "URAM288": ("uram", 1),
    "RAMB18E1": ("bram18", 1),
    "RAMB18E2": ("bram18", 1),
    "RAMB36E1": ("bram18", 2),
    "RAMB36E2": ("bram18", 2),
}
FREE = {
    "CARRY4",
    "CARRY8",
    "MUXF7",
    "MUXF8",
    "MUXF9",
    "INV",
    "BUFG",
    "GND",
    "VCC",
}  # beside the LUTs, or absorbed
_LUT = re.compile(r"LUT[1-6](_2)?")


def resources(cells: Mapping[str, int]) -> dict[str, int]:
    """Resource (lut, ff, dsp, bram18, uram) -> number, from cell type -> number.

    Raises: CompileError for a cell that is none of the known ones, for example a black box.
    """
    found = dict.fromkeys(("lut", "ff", "dsp", "bram18", "uram"), 0)
    for cell, number in cells.items():
        kind, each = _kind(cell)
        if kind:
            found[kind] += each * number
    return found


def _kind(cell: str) -> tuple[str, int]:
    name = cell.removesuffix("_1")  # clocked by the falling edge
    if _LUT.fullmatch(name):
        return "lut", 1
    if name in FLIP_FLOPS:
        return "ff", 1
    if name in DISTRIBUTED:
        return "lut", DISTRIBUTED[name]
    if name in BLOCKS:
        return BLOCKS[name]
    if name in FREE:
        return "", 0
    raise CompileError(
        f"the netlist has cells {cell} of unknown cost: a module that the synthesis does not know?"
    )
