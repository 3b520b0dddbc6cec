"""Cells of a netlist to resources."""

import pytest

from edgellm.errors import CompileError
from edgellm.synthesis.netlist import resources


def test_every_kind_is_counted():
    cells = {
        "LUT1": 1,
        "LUT6": 2,
        "LUT6_2": 3,
        "SRL16E": 4,
        "RAM32M": 5,
        "FDRE": 6,
        "FDSE_1": 7,
        "CARRY4": 90,
        "MUXF7": 90,
    }
    blocks = {"DSP48E2": 8, "RAMB18E2": 9, "RAMB36E1": 10, "URAM288": 11, "INV": 90}
    assert resources(cells) == {"lut": 1 + 2 + 3 + 4 + 20, "ff": 13, "dsp": 0, "bram18": 0, "uram": 0}
    assert resources(blocks) == {"lut": 0, "ff": 0, "dsp": 8, "bram18": 9 + 20, "uram": 11}


def test_nothing_is_nothing():
    assert set(resources({}).values()) == {0}


@pytest.mark.parametrize("cell", ["my_block", "LUT7", "RAMB18E9", "$_AND_"])
def test_an_unknown_cell_is_not_free(cell):
    with pytest.raises(CompileError, match=f"the netlist has cells {cell.replace('$', '.')} of unknown cost"):
        resources({"LUT6": 1, cell: 1})
