"""`edgellm eval`: how good the integer model is, on test sets that ship and on anyone's own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgellm.cli.build import require
from edgellm.cli.common import Commands, command
from edgellm.errors import UsageError
from edgellm.evaluation import measure, output, sets, table
from edgellm.evaluation.examples import Codec
from edgellm.evaluation.integer import IntegerReader, logit_step
from edgellm.evaluation.output import Evaluation
from edgellm.evaluation.sets import CaseSet
from edgellm.runtime import registry
from edgellm.runtime.llm import load

EXAMPLES = """\
examples:
  edgellm eval home-260k
  edgellm eval home-260k --sets heldout,free -o out/eval       metrics.json, confusion.png, errors.tsv
  edgellm eval home-260k --sets free --backend golden --limit 5
  edgellm eval runs/help/model --data my-lines.jsonl           lines of {"prompt": "...", "completion": "..."}
"""
HINT = "pip install 'edgellm[eval]'"
LEAST_WIDTH = 110  # columns of a table that goes into a file or a pipe


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands, "eval", "measure a model: loss, intents, slots, replies on test sets", run, EXAMPLES
    )
    parser.add_argument("model", metavar="MODEL", help="name, folder or bundle of a model")
    known = ", ".join(sets.available())
    parser.add_argument(
        "--sets", metavar="NAMES", help=f"with commas between: {known} (default: all of them)"
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a test set of your own, .tsv or .jsonl, instead of or beside --sets; may be repeated",
    )
    parser.add_argument(
        "--backend",
        default=registry.AUTO,
        metavar="B",
        help=f"{', '.join([registry.AUTO, *registry.BACKENDS])} (default: auto)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="N lines a set, evenly spread over it")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help="write metrics.json, confusion.png and errors.tsv there",
    )
    parser.add_argument("--json", action="store_true", help="print metrics.json instead of tables")


def run(options: argparse.Namespace) -> int:
    """Measure and show."""
    if not options.json:
        require("rich", HINT)
    if options.output:
        require("matplotlib", HINT)
    chosen = [entry.sample(options.limit) for entry in _sets(options)]
    evaluation = _evaluate(options.model, options.backend, chosen)
    if options.output:
        output.write(evaluation, options.output)
    if options.json:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False))
    else:
        _show(evaluation)
    return 0


def _sets(options: argparse.Namespace) -> list[CaseSet]:
    names = options.sets.split(",") if options.sets else [] if options.data else sets.available()
    found = sets.shipped(list(dict.fromkeys(name.strip() for name in names)))
    for path in options.data:
        found.append(sets.read(path))
    if not found:
        raise UsageError("no test set is installed: give a file with --data")
    twice = [entry.name for entry in found if sum(other.name == entry.name for other in found) > 1]
    if twice:
        raise UsageError(f"two test sets are called {twice[0]!r}: rename one of the files")
    return found


def _evaluate(model: str, backend: str, chosen: list[CaseSet]) -> Evaluation:
    with load(model, backend) as llm:
        reader = IntegerReader(llm.engine, llm.stop_ids, logit_step(llm.folder))
        codec = Codec(llm.manifest, llm.tokenizer)
        reports = measure.measure_all(reader, codec, chosen, "Evaluating")
        notes = [*reader.notes, *(note for report in reports.values() for note in report.notes())]
        return Evaluation(llm.name, llm.backend, reports, notes)


def _show(evaluation: Evaluation) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, LEAST_WIDTH)
    if intents := table.by_intent(evaluation.reports):
        console.print(intents)
    console.print(table.overview(evaluation.reports, f"{evaluation.model} on {evaluation.backend}"))
    console.print(
        "[dim]95 % Wilson intervals below the shares; loss in nats a token of the expected answer[/dim]"
    )
    for note in evaluation.notes:
        console.print(f"note: {note}", markup=False)
