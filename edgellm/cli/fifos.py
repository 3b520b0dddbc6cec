"""`edgellm fifos`: depths of a compiled design's FIFOs, found in simulation."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table
from edgellm.runtime import registry

EXAMPLES = """\
examples:
  edgellm fifos out/zu3 -o sized.json                                     minutes of simulation
  edgellm compile home-260k --board aup-zu3 -o out/sized --folding sized.json
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "fifos", "find the least FIFO depths that lose no cycle", run, EXAMPLES)
    parser.add_argument("design", metavar="DIR", type=Path, help="folder written by compile")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="folding file to write: the design's, with depths",
    )


def run(options: argparse.Namespace) -> int:
    """Search, write the folding with the depths, and print them."""
    require(*registry.get("sim").needs[1])
    from edgellm.compiler.compile import FOLDING
    from edgellm.compiler.folding import Folding
    from edgellm.sim import fifos
    from edgellm.sim.accelerator import Accelerator

    found = fifos.size(Accelerator(options.design))
    folding = Folding.load(options.design / FOLDING)
    dataclasses.replace(folding, fifos={one.stream: one.depth for one in found}).save(options.output)
    print(
        table(["stream", "bits", "before", "fullest", "depth"], [dataclasses.astuple(one) for one in found])
    )
    before, after = (sum(one.bits * getattr(one, when) for one in found) for when in ("before", "depth"))
    print(f"\n{before:,} bits before, {after:,} after; wrote {options.output}")
    return 0
