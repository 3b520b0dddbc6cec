"""One run of Yosys, in a process of its own: `python job.py REQUEST`, from the folder of the sources.

REQUEST is a JSON file: {sources, top, family, cells, netlist}. The number of cells by type goes to the file `cells`, the netlist
for nextpnr to the file `netlist` where one is asked for (family ecp5), Yosys' own log to standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ECP5 = "ecp5"
DISTRIBUTED = "distributed"
# For what FINN's sources instantiate by name; as blocks from outside they have no parameters that slang knows of.
XILINX_CELLS = [f"read_verilog -lib +/xilinx/{name}.v" for name in ("cells_sim", "cells_xtra")]


def commands(request: dict[str, Any], statistics: Path) -> list[str]:
    """Yosys commands: SystemVerilog through slang, then the flow of the family; Xilinx without pads and clock buffers."""
    sources = " ".join(request["sources"])
    top, family = request["top"], request["family"]
    uram = " -uram" if family == "xcup" else ""
    xilinx = f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf{uram} -top {top}"
    return [
        *(XILINX_CELLS if family != ECP5 else []),
        f"read_slang --threads 1 --allow-use-before-declare -Wno-undefined-param-override --top {top} -DSYNTHESIS {sources}",
        "chformal -remove",  # assertions are no hardware, and would keep what only they look at
        # Yosys' LUT memories must have a writer; slang gives a string of a parameter as a number
        *(f"setattr -unset rom_style a:rom_style={value}" for value in (DISTRIBUTED, constant(DISTRIBUTED))),
        f"techmap -map {Path(__file__).with_name('taps.v')}",
        f"synth_ecp5 -top {top}" if family == ECP5 else xilinx,
        f"tee -q -o {statistics} stat -json",
        *([f"write_json {request['netlist']}"] if "netlist" in request else []),
    ]


def constant(text: str) -> str:
    """A text as a binary number."""
    return f"{8 * len(text)}'b{''.join(f'{byte:08b}' for byte in text.encode('ascii'))}"


def main() -> None:
    """Do what the request says."""
    from pyosys import libyosys

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    target = Path(request["cells"])
    statistics = target.with_suffix(".stat")
    design = libyosys.Design()
    for line in commands(request, statistics):
        libyosys.run_pass(line, design)
    cells = json.loads(statistics.read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    target.write_text(json.dumps(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
