"""The clock that a real part gives: place and route for a Lattice ECP5-85 with open tools alone.

    python -m benchmarks.ecp5 [MODULE ...] [-o FILE]

Compiles home-260k for the ULX3S, routes its main blocks one by one and then the whole accelerator as a chip, whose bitstream is
left in out/ecp5. Results of other modules stay in FILE. A module takes a minute or two; the accelerator has not been seen to end
within 48 minutes of CPU.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.run import context
from edgellm import catalog, files
from edgellm.compiler.budget import Goal
from edgellm.compiler.compile import compile_model
from edgellm.progress import track
from edgellm.sim import design
from edgellm.synthesis import ecp5
from edgellm.synthesis.dependencies import Library

MODEL, BOARD, SLOTS, MHZ = "home-260k", "ulx3s-85f", 1, 50
BLOCKS = (
    "attn_norm",
    "qkv_acc",
    "qkv",
    "rope",
    "attention",
    "attn_residual",
    "glu",
    "sampler",
    "argmax",
    "sequencer",
)
RESULTS, OUT = Path("benchmarks/results/ecp5.json"), Path("out/ecp5")
# FINN's core instantiates Xilinx' DSP blocks; the stand-in says the same with plain products
REPLACED = {"rtl/mvu.sv": "sim/mvu.sv"}


def library(folder: Path) -> Library:
    """The design's sources, without vendor primitives."""
    sources = (folder / "files.f").read_text(encoding="utf-8").split()
    return Library(folder, [REPLACED.get(source, source) for source in sources])


def measure(folder: Path, node: str) -> dict[str, Any]:
    """Route one node's block, or all for the name of the top module."""
    about = design.load(folder)
    whole = node == about.top
    module = node if whole else next(cell.module for cell in about.cells if cell.row == node)
    work = OUT / node
    work.mkdir(parents=True, exist_ok=True)
    with track(f"Placing and routing {node}"):
        placed = ecp5.place(library(folder), module, work, MHZ, pads=whole)
    return {**placed.to_dict(), "node": node, "model": MODEL, "board": BOARD, "tag": "derived", **context()}


def main() -> None:
    """Route the modules and merge them into the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=[*BLOCKS, "top"], metavar="MODULE")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = OUT / "design"
    compile_model(catalog.find(MODEL), BOARD, folder, goal=Goal(slots=SLOTS))
    for node in options.modules:
        row = measure(folder, node)
        rows = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else []
        rows = [old for old in rows if old["node"] != node] + [row]
        files.write_text(options.output, json.dumps(rows, indent=1) + "\n")
        print(f"{node}: {row['mhz']:.1f} MHz")
    print(
        f"bitstream: {OUT / 'top' / ecp5.BITSTREAM}" if "top" in options.modules else "no bitstream asked for"
    )


if __name__ == "__main__":
    main()
