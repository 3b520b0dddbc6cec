"""`edgellm compile`, `simulate`, `report`, `cache`: a model as an accelerator, cycle by cycle, and on a page."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from edgellm import cache, catalog
from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table
from edgellm.errors import UsageError
from edgellm.runtime import registry

COMPILE_EXAMPLES = """\
examples:
  edgellm compile home-260k --board aup-zu3 -o out/zu3
  edgellm compile home-260k --board kv260 -o out/kv260 --objective latency --clock 250
  edgellm compile home-260k --board kv260 -o out/mine --folding out/kv260/folding.json    edited by hand
  edgellm compile home-260k --board kv260 -o out/kv260 --vivado out/vivado              and scripts for a bitstream
"""
SIMULATE_EXAMPLES = """\
examples:
  edgellm simulate out/zu3 -p "turn on the kitchen light"
  edgellm simulate out/zu3 --verify -p "set the bedroom to 21 degrees"    every stream against the golden model
  edgellm simulate out/zu3 -p "lock the door" -p "turn on the light"      at once, a slot each
  edgellm simulate out/zu3 --fill -p "turn on the kitchen light"          every slot busy
"""
REPORT_EXAMPLES = """\
examples:
  edgellm report out/zu3                     out/zu3/report.html: costs, cycles, timelines, roofline
  edgellm report out/zu3 -o zu3.html
"""
CACHE_EXAMPLES = """\
examples:
  edgellm cache            what is kept and how big it is
  edgellm cache clear      remove everything that can be built again
"""
DEFAULT_BOARD, DEFAULT_PROMPT = "aup-zu3", "turn on the kitchen light"


def add(commands: Commands) -> None:
    """Register the commands."""
    _add_compile(commands)
    _add_simulate(commands)
    _add_report(commands)
    keep = command(
        commands, "cache", "list or clear what was built and can be built again", run_cache, CACHE_EXAMPLES
    )
    keep.add_argument("action", nargs="?", choices=["list", "clear"], default="list")


def _add_compile(commands: Commands) -> None:
    parser = command(
        commands, "compile", "turn a model into an accelerator for a board", run_compile, COMPILE_EXAMPLES
    )
    parser.add_argument("model", metavar="MODEL", help="name, folder or bundle of a model")
    parser.add_argument(
        "--board", default=DEFAULT_BOARD, metavar="BOARD", help=f"board (default: {DEFAULT_BOARD})"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help="design folder to write, where an earlier one is replaced (with --vivado alone: design in its folder)",
    )
    parser.add_argument(
        "--vivado",
        metavar="DIR",
        type=Path,
        help="write a Vivado project of the design too, where an earlier one is replaced (not run in Vivado)",
    )
    parser.add_argument(
        "--folding",
        metavar="FILE",
        type=Path,
        help="folding factors as JSON, as in folding.json of a design (default: the best that fits)",
    )
    parser.add_argument(
        "--objective",
        choices=["throughput", "latency"],
        default="throughput",
        help="what the folding is to be best for: all slots busy, or a single stream (default: %(default)s)",
    )
    parser.add_argument(
        "--slots",
        metavar="N",
        type=int,
        help="streams with keys and values of their own (default: 8 or what fits)",
    )
    parser.add_argument(
        "--clock", metavar="MHZ", type=int, help="clock of reports and Vivado project (default: the board's)"
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
        action="append",
        help=f"the prompt (default: {DEFAULT_PROMPT}); several run at once, a slot each",
    )
    parser.add_argument("--fill", action="store_true", help="repeat the prompts until every slot has one")
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


def _add_report(commands: Commands) -> None:
    parser = command(
        commands, "report", "write one HTML page about a compiled design", run_report, REPORT_EXAMPLES
    )
    parser.add_argument(
        "design", metavar="DIR", type=Path, help="folder written by compile; simulate adds to it"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="the page (default: report.html in DIR)"
    )


def _require_finn() -> None:
    for module, how in registry.get("sim").needs:
        require(module, how)


def run_compile(options: argparse.Namespace) -> int:
    """Compile, with a project for Vivado if wished, and print the report."""
    if options.output is None and options.vivado is None:
        raise UsageError(
            "compile writes a design folder: name it with -o DIR, or a Vivado project with --vivado DIR"
        )
    if (
        options.output
        and options.vivado
        and options.output.resolve().is_relative_to(options.vivado.resolve())
    ):
        raise UsageError(
            f"{options.output} lies in the Vivado project, which is written anew: leave -o away or name another"
        )
    _require_finn()
    if options.vivado is None:
        _compile(options, options.output)
    else:
        _compile_for_vivado(options)
    for path in (options.output, options.vivado):
        if path is not None:
            print(f"wrote {path}")
    return 0


def _compile(options: argparse.Namespace, output: Path) -> None:
    from edgellm.compiler.budget import Goal, Objective
    from edgellm.compiler.compile import compile_model
    from edgellm.compiler.folding import Folding

    folding = Folding.load(options.folding) if options.folding else None
    goal = Goal(Objective(options.objective), options.slots, options.clock)
    compile_model(catalog.find(options.model), options.board, output, folding, goal)
    print((output / "report.txt").read_text(), end="")


def _compile_for_vivado(options: argparse.Namespace) -> None:
    from edgellm.compiler import boards, vivado

    board = boards.load(options.board)
    with vivado.project(options.vivado, board) as work:
        design = options.output or work / vivado.DESIGN
        _compile(options, design)
        vivado.fill(design, board, work)


def run_simulate(options: argparse.Namespace) -> int:
    """Answer the prompts on the simulated accelerator; with --verify, judge every stream of a single one."""
    prompts = [os.fsencode(text) for text in options.prompt or [DEFAULT_PROMPT]]
    together = options.fill or len(prompts) > 1
    if together and options.verify:
        raise UsageError("--verify judges one prompt alone in the pipeline: give one -p and no --fill")
    require(*registry.get("sim").needs[1])
    from edgellm.sim.simulate import Simulated, Together, simulate, simulate_together

    folder, limit, core = options.design, options.max_tokens, options.finn_core
    answer: Simulated | Together
    if together:
        answer = simulate_together(folder, prompts, limit, options.fill, core)
    else:
        answer = simulate(folder, prompts[0], limit, options.verify, core)
    print(json.dumps(answer.to_dict()) if options.json else answer)
    return 0


def run_report(options: argparse.Namespace) -> int:
    """Write the page; what was not simulated yet, it says how to simulate."""
    for module in ("jinja2", "matplotlib"):
        require(module, "pip install 'edgellm[report]'")
    from edgellm.report import page

    written = page.write(options.design, options.output)
    print(f"wrote {written} ({written.stat().st_size / 1024:,.0f} KiB)")
    return 0


def run_cache(options: argparse.Namespace) -> int:
    """List or clear the build cache."""
    if options.action == "clear":
        freed, held = cache.clear(), len(cache.entries())
        print(f"freed {freed / 2**20:,.0f} MiB in {cache.root()}" + (f"; {held} in use stay" if held else ""))
        return 0
    rows = [(entry.kind, entry.key[:16], f"{entry.size / 2**20:,.1f}") for entry in cache.entries()]
    print(table(["kind", "key", "MiB"], rows))
    print(f"\n{cache.root()} (limit {cache.LIMIT_BYTES / 2**20:,.0f} MiB)")
    return 0
