"""The clock that a real part gives: place and route for a Lattice ECP5-85 with open tools alone.

    python -m benchmarks.ecp5 [BLOCK | decoder ...] [-o FILE]

Compiles home-260k for the ULX3S and routes its main blocks one by one; then a small complete decoder (benchmarks.models) as
a chip, whose bitstream is left in out/ecp5/decoder. Results of other modules stay in FILE. A block takes a minute or two, the
decoder a quarter of an hour. The whole of home-260k fits the part (28,000 LUT4s, 151 of its 156 multipliers), but nextpnr
had not placed it after 48 minutes of CPU.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.run import context
from edgellm import catalog, files
from edgellm.compiler import folding
from edgellm.compiler.budget import Goal
from edgellm.compiler.compile import compile_model
from edgellm.compiler.folding import Folding
from edgellm.progress import track
from edgellm.sim import design
from edgellm.synthesis import ecp5
from edgellm.synthesis.dependencies import Library

MODEL, BOARD, SLOTS, MHZ = "home-260k", "ulx3s-85f", 1, 50
DECODER = "decoder"
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


@cache
def home() -> Path:
    """The design whose blocks are routed: home-260k in the folding that is best for the part."""
    folder = OUT / "design"
    compile_model(catalog.find(MODEL), BOARD, folder, goal=Goal(slots=SLOTS))
    return folder


def small() -> Path:
    """The design that is routed whole: every factor the least, because a chip of few cells is placed soonest."""
    folder = OUT / "small"
    legal = folding.legal(models.SMALL)
    least = Folding(
        {node: {name: min(values) for name, values in one.items()} for node, one in legal.items()}
    )
    compile_model(models.save(models.small(), OUT / "model"), BOARD, folder, least, Goal(slots=SLOTS))
    return folder


def measure(node: str) -> dict[str, Any]:
    """Route the block of one node of home-260k, or the small decoder."""
    whole = node == DECODER
    folder = small() if whole else home()
    about = design.load(folder)
    module = about.top if whole else next(cell.module for cell in about.cells if cell.row == node)
    work = OUT / node
    work.mkdir(parents=True, exist_ok=True)
    with track(f"Placing and routing {node}"):
        placed = ecp5.place(library(folder), module, work, MHZ, pads=whole)
    model = "small" if whole else MODEL
    return {**placed.to_dict(), "node": node, "model": model, "board": BOARD, "tag": "derived", **context()}


def keep(path: Path, row: dict[str, Any]) -> None:
    """Put a row in the place of the node's older one."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows = [old for old in rows if old["node"] != row["node"]] + [row]
    files.write_text(path, json.dumps(rows, indent=1) + "\n")


def main() -> None:
    """Route the modules and merge them into the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=[*BLOCKS, DECODER], metavar="MODULE")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    for node in options.modules:
        row = measure(node)
        keep(options.output, row)
        print(f"{node}: {row['mhz']:.1f} MHz")
        if node == DECODER:
            print(f"bitstream: {OUT / DECODER / ecp5.BITSTREAM}")


if __name__ == "__main__":
    main()
