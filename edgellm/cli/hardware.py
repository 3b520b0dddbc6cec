"""`edgellm compile`, `edgellm simulate`, `edgellm cache`: from a model to an accelerator, and that accelerator cycle by cycle."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from edgellm import cache, catalog
from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table
from edgellm.runtime import registry

COMPILE_EXAMPLES = """\
examples:
  edgellm compile home-260k --board aup-zu3 -o out/zu3
  edgellm compile home-260k --board kv260 -o out/kv260 --folding my-folding.json
"""
SIMULATE_EXAMPLES = """\
examples:
  edgellm simulate out/zu3 -p "turn on the kitchen light"
  edgellm simulate out/zu3 --verify -p "set the bedroom to 21 degrees"    every stream against the golden model
"""
CACHE_EXAMPLES = """\
examples:
  edgellm cache            what is kept and how big it is
  edgellm cache clear      remove everything that can be built again
"""
DEFAULT_BOARD = "aup-zu3"


def add(commands: Commands) -> None:
    """Register the commands."""
    _add_compile(commands)
    _add_simulate(commands)
    keep = command(
        commands, "cache", "list or clear what was built and can be built again", run_cache, CACHE_EXAMPLES
    )
    keep.add_argument("action", nargs="?", choices=["list", "clear"], default="list")


def _add_compile(commands: Commands) -> None:
    parser = command(
        commands, "compile", "turn a model into an accelerator for a board", run_compile, COMPILE_EXAMPLES
    )
    parser.add_argument("model", metavar="MODEL", help="name or folder of a model")
    parser.add_argument(
        "--board", default=DEFAULT_BOARD, metavar="BOARD", help=f"board (default: {DEFAULT_BOARD})"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="design folder to write"
    )
    parser.add_argument(
        "--folding",
        metavar="FILE",
        type=Path,
        help="folding factors as JSON (default: the fastest that fits)",
    )


def _add_simulate(commands: Commands) -> None:
    parser = command(
        commands, "simulate", "run a compiled design in Verilator", run_simulate, SIMULATE_EXAMPLES
    )
    parser.add_argument("design", metavar="DIR", type=Path, help="folder written by compile")
    parser.add_argument(
        "-p",
        "--prompt",
        metavar="TEXT",
        default="turn on the kitchen light",
        help="the prompt (default: %(default)s)",
    )
    parser.add_argument("--max-tokens", type=int, metavar="N", help="generate at most N tokens")
    parser.add_argument(
        "--verify", action="store_true", help="compare every stream of every node with the golden model"
    )
    parser.add_argument(
        "--finn-core",
        action="store_true",
        help="simulate FINN's own matrix core, not its stand-in (builds for minutes)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _require_finn() -> None:
    for module, how in registry.get("sim").needs:
        require(module, how)


def run_compile(options: argparse.Namespace) -> int:
    """Compile and print the report."""
    _require_finn()
    from edgellm.compiler.compile import compile_model
    from edgellm.compiler.folding import Folding

    folding = Folding.load(options.folding) if options.folding else None
    compile_model(catalog.find(options.model), options.board, options.output, folding)
    print((options.output / "report.txt").read_text(), end="")
    print(f"wrote {options.output}")
    return 0


def run_simulate(options: argparse.Namespace) -> int:
    """Answer the prompt on the simulated accelerator; with --verify, judge every stream."""
    require(*registry.get("sim").needs[1])
    from edgellm.sim.simulate import simulate

    answer = simulate(
        options.design, os.fsencode(options.prompt), options.max_tokens, options.verify, options.finn_core
    )
    print(json.dumps(answer.to_dict()) if options.json else answer)
    return 0


def run_cache(options: argparse.Namespace) -> int:
    """List or clear the build cache."""
    if options.action == "clear":
        print(f"freed {cache.clear() / 2**20:,.0f} MiB in {cache.root()}")
        return 0
    rows = [(entry.kind, entry.key[:16], f"{entry.size / 2**20:,.1f}") for entry in cache.entries()]
    print(table(["kind", "key", "MiB"], rows))
    print(f"\n{cache.root()} (limit {cache.LIMIT_BYTES / 2**20:,.0f} MiB)")
    return 0
