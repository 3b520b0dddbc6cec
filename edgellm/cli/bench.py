"""`edgellm bench`: latency and throughput by back end, batch and prompt length; and two runs compared."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgellm import catalog
from edgellm.bench import compare, measure, results, tables
from edgellm.bench.plan import Plan
from edgellm.bench.results import Result
from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table
from edgellm.errors import UsageError
from edgellm.runtime import registry
from edgellm.runtime.registry import Backend

EXAMPLES = """\
examples:
  edgellm bench home-260k                                    the back ends that work here
  edgellm bench home-260k --backend native,cpu --batch 1,8,32 --prompt 16,64,200
  edgellm bench home-260k --backend sim --batch 1 --prompt 16 --tokens 8
  edgellm bench home-260k -o before.json --plot before.png   keep it, and draw it
  edgellm bench --compare before.json after.json             what became faster or slower
"""
HINT = "pip install 'edgellm[bench]'"
FOOT = (
    "TTFT: submission to first token. ITL: latency between tokens; those that arrive together share their gap. "
    "host: above the device's calls; transfer: inside them, but not in the device's own cycles (- where it counts none)."
)
SLOW = ("golden",)  # the judge need not be fast: measured when asked for


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "bench", "measure latency and throughput, or compare two runs", run, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", nargs="?", help="name or folder of a model")
    parser.add_argument(
        "--backend",
        metavar="B,B",
        help="back ends to measure in turn (default: all fast ones that work here)",
    )
    parser.add_argument("--batch", metavar="N,N", type=_numbers, default=(1, 8), help="prompts at once (1,8)")
    parser.add_argument(
        "--prompt", metavar="N,N", type=_numbers, default=(16, 64), help="tokens of a prompt (16,64)"
    )
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="tokens to generate (64)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="times each case is measured (5)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="keep the run as JSON")
    parser.add_argument("--plot", metavar="FILE.png", type=Path, help="draw the run")
    parser.add_argument(
        "--compare", nargs=2, metavar=("OLD", "NEW"), type=Path, help="compare two runs that were kept"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _numbers(text: str) -> tuple[int, ...]:
    """`1,8` -> (1, 8)."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers with commas between") from None


def run(options: argparse.Namespace) -> int:
    """Measure or compare, and show."""
    if options.compare:
        if options.model:
            raise UsageError(f"--compare takes two results and no model: leave out {options.model!r}")
        old, new = options.compare
        return _compare(old, new, options.json)
    if not options.model:
        raise UsageError("give a MODEL to measure, or --compare OLD NEW")
    if options.plot:
        require("matplotlib", HINT)
    plan = Plan(options.batch, options.prompt, options.tokens, options.repeats)
    result = measure.measure(catalog.find(options.model), _backends(options.backend), plan)
    _keep(result, options.output, options.plot)
    if options.json:
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    else:
        _show(result)
    return 0


def _backends(names: str | None) -> list[Backend]:
    if names is None:
        chosen, _ = registry.choose(registry.AUTO)
        return [backend for backend in chosen if backend.name not in SLOW] or chosen
    return [registry.get(name) for name in dict.fromkeys(part.strip() for part in names.split(","))]


def _keep(result: Result, output: Path | None, plot: Path | None) -> None:
    if output:
        results.write(result, output)
    if plot:
        from edgellm.bench import picture

        picture.draw(result, plot)


def _show(result: Result) -> None:
    about = result.machine
    print(f"{result.model} on {about['processor']}, {about['cores']} cores, {result.date}\n")
    print(table(tables.RUN, tables.run(result)))
    print(f"\n{FOOT}")


def _compare(old: Path, new: Path, as_json: bool) -> int:
    found = compare.compare(results.read(old), results.read(new))
    if as_json:
        print(json.dumps(asdict(found)))
        return 0
    print(table(tables.COMPARISON, tables.comparison(found)))
    print("\nnew over old; a verdict is given where no repeat of one run reaches the median of the other")
    for note in found.notes:
        print(f"note: {note}")
    return 0
