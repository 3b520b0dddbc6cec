"""`edgellm quantize`: a float student to integers in seconds, a scan of what each part may lose, a search for a mix."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.build import TRAIN_HINT, require
from edgellm.cli.common import Commands, command, table
from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm.train.bits import Bits
    from edgellm.train.quantise import Quantiser
    from edgellm.train.search import Goal, Mix

EXAMPLES = """\
examples:
  edgellm quantize runs/home --calibrate-only -o out/home-w4                     4-bit weights, no training
  edgellm quantize runs/home --calibrate-only --bits 4,down=8,head=8,kv=4 -o out/mixed
  edgellm quantize runs/home --sensitivity -o out/scan                           sensitivity.csv, sensitivity.png
  edgellm quantize runs/home --budget 1% -o out/search                           the cheapest mix that loses 1 % of answers
  edgellm quantize runs/home --budget 10% --config models/home-260k/config.toml -o out/search
  edgellm distill out/search/recipe.toml -o runs/home-mixed                      train what the search proposes
"""
BITS_HELP = (
    "widths, with commas between: N or ternary for all weights, then PART=N with PART of head, embedding, activation, glu, kv, "
    "qkv, attn_out, gate_up, down, layers.0.qkv, ... (default: 4)"
)
SHOWN = 12  # mixes in the table
PARTS = ("weight", "head", "embedding", "activation", "glu", "kv")
COLUMNS = ("trial", "weights", "head", "embed", "act", "glu", "kv", "cost", "loss", "exact %", "lost %", "")


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "quantize",
        "quantise a float student without training, or find out how narrow it may be",
        run,
        EXAMPLES,
    )
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="folder of `edgellm distill`, or a float stage in it"
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder to write")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--calibrate-only", action="store_true", help="write the integer model, with nothing trained"
    )
    what.add_argument("--sensitivity", action="store_true", help="measure each part alone at 4, 3 and 2 bits")
    what.add_argument(
        "--budget", metavar="P%", help="search the cheapest widths that lose at most this share"
    )
    parser.add_argument("--bits", metavar="WIDTHS", default="4", help=BITS_HELP)
    parser.add_argument(
        "--config", metavar="RECIPE", type=Path, help="the run's recipe; needed for a corpus of your own"
    )
    parser.add_argument("--lines", type=int, default=300, metavar="N", help="validation lines (default: 300)")
    _add_search(parser)


def _add_search(parser: argparse.ArgumentParser) -> None:
    search = parser.add_argument_group("search")
    search.add_argument(
        "--metric", default="exact", metavar="M", help="exact (share of answers, default) or loss (relative)"
    )
    search.add_argument(
        "--cost",
        default="memory",
        metavar="C",
        help="memory (default), operations or weights; docs/quantization.md",
    )
    search.add_argument(
        "--per-layer", action="store_true", help="a width for every layer, not for every kind"
    )
    search.add_argument("--trials", type=int, default=60, metavar="N", help="mixes to try (default: 60)")
    search.add_argument("--seed", type=int, default=1, metavar="N", help="of the search (default: 1)")


def run(options: argparse.Namespace) -> int:
    """Open the float model and do what was asked."""
    for module in ("torch", "brevitas"):
        require(module, TRAIN_HINT)
    from edgellm.train.float_source import open_source
    from edgellm.train.quantise import Quantiser
    from edgellm.train.threads import computing

    if options.lines < 1:
        raise UsageError(f"--lines must be at least 1, not {options.lines}")
    source = open_source(options.run_folder, options.config)
    bits = parse_bits(options.bits, source.arch.layers)
    goal = None if options.budget is None else _goal(options)
    quantiser = Quantiser(source, source.valid(options.lines))
    with computing():
        if goal is not None:
            return _search(quantiser, goal, options)
        if options.sensitivity:
            return _scan(quantiser, options.output)
        return _calibrate(quantiser, bits, options.output)


def parse_bits(text: str, layers: int) -> Bits:
    """Widths from the command line; UsageError names the part that is wrong."""
    from edgellm.train.bits import Bits, problems

    fields: dict[str, int] = {}
    overrides: dict[str, int] = {}
    for entry in text.split(","):
        name, _, number = entry.strip().rpartition("=")
        width = {"ternary": "2"}.get(number, number)
        if not re.fullmatch(r"\d+", width):
            raise UsageError(f"--bits {text}: {entry.strip()!r} is not a width: give N or PART=N")
        if not name:
            fields |= {"weight": int(width), "head": int(width)}
        else:
            (fields if name in PARTS else overrides)[name] = int(width)
    bits = Bits(**fields, overrides=overrides)
    for field, problem in problems(bits, layers):
        raise UsageError(f"--bits {text}: {field.removeprefix('overrides.')} {problem}")
    return bits


def _goal(options: argparse.Namespace) -> Goal:
    from edgellm.train.search import Goal

    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", options.budget)
    if not number:
        raise UsageError(f"--budget {options.budget}: give a percentage such as 1%")
    return Goal(
        float(number[1]) / 100, options.metric, options.cost, options.per_layer, options.trials, options.seed
    )


def _calibrate(quantiser: Quantiser, bits: Bits, out: Path) -> int:
    """Write the integer model and say how good it is."""
    from edgellm.train import quality
    from edgellm.train.quantise import export

    model = quantiser.model(bits)
    export(model, bits, quantiser.source, out)
    measured, before = quality.measure_integer(out, quantiser.valid), quantiser.unquantised
    rows = [
        (name, f"{found.loss:.4f}", f"{100 * found.exact:.1f}")
        for name, found in (("float", before), ("integer", measured))
    ]
    print(table(("model", "loss", "exact %"), rows))
    print(f"{len(quantiser.valid)} validation lines; loss in nats a token of the answer\nwrote {out}")
    return 0


def _scan(quantiser: Quantiser, out: Path) -> int:
    require("matplotlib", TRAIN_HINT)
    from edgellm.train import sensitivity

    points = sorted(sensitivity.scan(quantiser, out), key=lambda point: -point.increase)
    print(table(sensitivity.COLUMNS, [point.cells() for point in points[: 2 * SHOWN]]))
    print(
        f"the {min(len(points), 2 * SHOWN)} most sensitive of {len(points)}; wrote {out / sensitivity.TABLE} and .png"
    )
    return 0


def _search(quantiser: Quantiser, goal: Goal, options: argparse.Namespace) -> int:
    """Search, show the best mixes, and write the winner as a recipe."""
    require("optuna", TRAIN_HINT)
    from edgellm.train import search

    mixes = search.search(quantiser, goal, options.output)
    print(table(COLUMNS, [_row(mix, goal) for mix in mixes[:SHOWN]]))
    before = quantiser.unquantised
    print(
        f"float: loss {before.loss:.4f}, exact {100 * before.exact:.1f} %; {len(quantiser.valid)} validation lines"
    )
    print(f"wrote {_write_recipe(quantiser, mixes[0], options.output)}")
    return 0


def _row(mix: Mix, goal: Goal) -> tuple[object, ...]:
    bits = mix.bits
    weights = ",".join([str(bits.weight), *(f"{name}={width}" for name, width in bits.overrides.items())])
    cost = f"{mix.cost / 8192:.1f} KiB" if goal.cost != "operations" else f"{mix.cost / 1e6:.2f} M"
    exact, lost = f"{100 * mix.quality.exact:.1f}", f"{100 * mix.lost:.2f}"
    note = "" if mix.fits(goal) else "over budget"
    widths = bits.head, bits.embedding, bits.activation, bits.glu, bits.kv
    return mix.number, weights, *widths, cost, f"{mix.quality.loss:.4f}", exact, lost, note


def _write_recipe(quantiser: Quantiser, best: Mix, out: Path) -> Path:
    """`recipe.toml` to train the winner, or its [bits] alone when the run's recipe is not known."""
    import dataclasses

    from edgellm import files
    from edgellm.train import recipe_text

    recipe = quantiser.source.recipe
    if recipe is None:
        files.write_text(out / "bits.toml", recipe_text.bits_text(best.bits))
        return out / "bits.toml"
    changed = dataclasses.replace(recipe, name=f"{recipe.name}-mixed", bits=best.bits)
    recipe_text.write(
        changed, out / "recipe.toml", f"{recipe.name} with the widths of trial {best.number} of search.json"
    )
    return out / "recipe.toml"
