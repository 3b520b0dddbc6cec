"""What a design costs and how fast its nodes are: report.json for programs, report.txt for people.

Resources are estimates (their source is beside them), expected cycles are formulas, measured cycles come from the
simulated RTL. Nothing here has been placed, routed or run on a board.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.compiler import counted, explain
from edgellm.compiler.columns import TITLES, aligned, share
from edgellm.compiler.costs import RESOURCES
from edgellm.errors import CompileError

JSON, TEXT = "report.json", "report.txt"


def write(design_dir: Path, measured: Mapping[str, int] | None = None) -> None:
    """Put measured cycles, by node, into the report of a design; without them only write report.txt again.

    Nodes that `measured` does not mention keep what they have. Raises CompileError when there is no report.
    """
    report = load(design_dir)
    for row in report["nodes"]:
        row["measured_cycles"] = (measured or {}).get(row["node"], row["measured_cycles"])
    save(design_dir, report)


def count(design_dir: Path, source: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Put a second opinion on resources, by node, beside the estimates: what `source`, a synthesis tool, counted.

    `counts`: node -> resource -> number; a resource that is not named counts 0. Nodes that are not mentioned keep what
    they have. Raises CompileError when there is no report, or for a node that it does not list.
    """
    report = load(design_dir)
    rows = {row["node"]: row for row in report["nodes"]}
    for node, found in counts.items():
        if node not in rows:
            raise CompileError(
                f"{Path(design_dir) / JSON}: no node {node!r} to count: nodes are {', '.join(rows)}"
            )
        rows[node]["counted"] = {"source": source, **{name: found.get(name, 0) for name in RESOURCES}}
    save(design_dir, report)


def load(design_dir: Path) -> dict[str, Any]:
    """Content of report.json. Raises CompileError when there is none."""
    path = Path(design_dir) / JSON
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CompileError(f"{path}: not a readable report ({error}): compile the model again") from error
    return report


def save(design_dir: Path, report: Mapping[str, Any]) -> None:
    """Write report.json and report.txt."""
    files.write_text(design_dir / JSON, json.dumps(report, indent=1) + "\n")
    files.write_text(design_dir / TEXT, text(report))


def text(report: Mapping[str, Any]) -> str:
    """The report as a table."""
    board, cycles = report["board"], report["cycles"]
    head = ["node", "op", "folding", "expected", "measured", *(TITLES[r] for r in RESOURCES), "source"]
    rows = [_row(row) for row in report["nodes"]]
    rows += _ends(report["totals"], board)
    macs = report.get("macs")  # of designs made before it was counted, none
    lines = [
        f"{report['model']} on {board['title']} ({board['part']}), {report['slots']} slots",
        f"expected: {cycles['first_position']:,} cycles a token at position 0, {cycles['last_position']:,} at the last; "
        f"one token of several streams every {cycles['saturated']:,}",
        *([_work(macs)] if macs else []),
        f"clock: {board['clock_mhz']} MHz assumed, timing not verified; resources are estimates before place and route",
        *(explain.lines(report["search"], board["clock_mhz"]) if "search" in report else []),
        "",
        *aligned([head, *rows], range(3, 5 + len(RESOURCES))),
        *counted.lines(report["nodes"], board),
    ]
    return "\n".join(lines) + "\n"


def _ends(totals: Mapping[str, int], board: Mapping[str, Any]) -> list[list[str]]:
    """The rows below the nodes."""
    blank = [""] * 4
    return [
        ["total", *blank, *(str(totals[r]) for r in RESOURCES), ""],
        [board["title"], *blank, *(str(board[r]) for r in RESOURCES), ""],
        ["share", *blank, *(share(totals[r], board[r]) for r in RESOURCES), ""],
    ]


def _work(macs: Mapping[str, int]) -> str:
    return f"work: {macs['first_position']:,} multiplications a token at position 0, {macs['last_position']:,} at the last"


def _row(row: Mapping[str, Any]) -> list[str]:
    folding = " ".join(f"{factor} {value}" for factor, value in row["folding"].items())
    measured = "" if row["measured_cycles"] is None else str(row["measured_cycles"])
    counts = [str(row[name]) for name in RESOURCES]
    return [row["node"], row["op"], folding, str(row["expected_cycles"]), measured, *counts, row["source"]]
