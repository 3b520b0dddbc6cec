"""`edgellm synth`: what a compiled design takes of an FPGA, counted by Yosys."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table

EXAMPLES = """\
examples:
  edgellm synth out/zu3                  count every node and put it beside the estimates in the report
  edgellm synth out/zu3 --whole          the whole top module in one go
  edgellm synth out/zu3 --family xc7     for 7-series parts; printed, not written into the report
"""
HINT = "pip install 'edgellm[synth]'"


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "synth", "count with Yosys what a compiled design takes", run, EXAMPLES)
    parser.add_argument("design", metavar="DIR", type=Path, help="folder written by compile")
    parser.add_argument("--whole", action="store_true", help="synthesise the top module as one (minutes)")
    parser.add_argument("--family", choices=["xc7", "xcup"], help="FPGA family (default: the board's)")


def run(options: argparse.Namespace) -> int:
    """Count, and print."""
    require("pyosys", HINT)
    from edgellm.synthesis import count

    if options.whole:
        total = count.whole(options.design, options.family)
        print(table(list(total), [list(total.values())]))
        return 0
    found = count.nodes(options.design, options.family)
    if options.family:
        print(
            table(["node", *next(iter(found.values()))], [[node, *n.values()] for node, n in found.items()])
        )
    else:
        print((options.design / "report.txt").read_text(encoding="utf-8"), end="")
    return 0
