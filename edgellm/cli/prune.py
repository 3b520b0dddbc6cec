"""`edgellm prune`: how much a trained student can lose, as a curve."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm.cli.build import TRAIN_HINT, require
from edgellm.cli.common import Commands, command, table

EXAMPLES = """\
examples:
  edgellm prune runs/home --config models/home-260k/config.toml -o out/curve    again with the same DIR: goes on
  edgellm prune runs/home --config RECIPE -o out/ffn --only ffn --tokens 1000000 --lines 500
  edgellm distill RECIPE -o runs/home --stage prune                             prune as [prune] of the recipe says
"""
COLUMNS = ("kind", "layers", "heads", "kv_heads", "ffn", "parameters", "macs", "loss_before", "loss", "exact")


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "prune",
        "measure a float student at several sizes, pruned and briefly recovered: curve.csv, curve.png",
        run,
        EXAMPLES,
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="folder of `edgellm distill` with a student")
    parser.add_argument("--config", metavar="RECIPE", type=Path, required=True, help="the run's recipe")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="folder for points, table, picture"
    )
    parser.add_argument(
        "--tokens", type=int, default=400_000, metavar="N", help="recovery of each point (default: 400000)"
    )
    parser.add_argument(
        "--lines", type=int, default=100, metavar="N", help="lines of each test set (default: 100)"
    )
    parser.add_argument(
        "--only", metavar="KINDS", default="ffn,heads,layers", help="of ffn,heads,layers (default: all)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure the points and show them."""
    for module in ("torch", "matplotlib"):
        require(module, TRAIN_HINT)
    from edgellm.train import prune_bench

    kinds = tuple(dict.fromkeys(kind.strip() for kind in options.only.split(",")))
    effort = prune_bench.Effort(options.tokens, options.lines, kinds)
    rows = [row.cells() for row in prune_bench.run(options.config, options.folder, options.output, effort)]
    print(table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows]))
    return 0
