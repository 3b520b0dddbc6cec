"""`edgellm board`: a compiled design on a board that is simulated."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm.cli.build import require
from edgellm.cli.common import Commands, command
from edgellm.runtime import registry

EXAMPLES = """\
examples:
  edgellm board out/zu3                                                   a minute or two, once
  EDGELLM_SIMULATED_BOARD=out/zu3 edgellm generate out/zu3 --backend fpga -p "lock the door"
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "board", "make a compiled design ready for a simulated board", run, EXAMPLES)
    parser.add_argument("design", metavar="DIR", type=Path, help="folder written by compile")


def run(options: argparse.Namespace) -> int:
    """Build the simulator of the design in its shell, and give the design a stand-in for a bitstream."""
    require(*registry.get("sim").needs[1])
    from edgellm.sim import design as designs
    from edgellm.sim import shell_harness, stand_in

    design = designs.load(options.design)
    shell_harness.build(design.shell_files())
    path = stand_in.write(options.design)
    print(f"{path}: {'a stand-in, no bitstream' if stand_in.is_one(path) else 'a bitstream that was there'}")
    print(
        f"Where PYNQ is installed (pip install 'edgellm[pynq,sim]'), a simulated board is there with\n"
        f"  export EDGELLM_SIMULATED_BOARD={options.design.resolve()}"
    )
    return 0
