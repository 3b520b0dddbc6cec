"""Estimates beside what a synthesis tool counted, as the second table of a design's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgellm.compiler.columns import TITLES, aligned, share
from edgellm.compiler.costs import RESOURCES


def lines(nodes: Sequence[Mapping[str, Any]], board: Mapping[str, Any]) -> list[str]:
    """The table, or nothing where no node was counted; `nodes` are the rows of report.json."""
    rows = [row for row in nodes if "counted" in row]
    if not rows:
        return []
    source = rows[0]["counted"]["source"]
    head = ["node", *(title for r in RESOURCES for title in (TITLES[r], source))]
    pairs = [[(row[r], row["counted"][r]) for r in RESOURCES] for row in rows]
    totals = [tuple(map(sum, zip(*column, strict=True))) for column in zip(*pairs, strict=True)]
    shares = [share(n, board[r]) for r, both in zip(RESOURCES, totals, strict=True) for n in both]
    table = [
        head,
        *([row["node"], *_flat(numbers)] for row, numbers in zip(rows, pairs, strict=True)),
        ["total", *_flat(totals)],
        ["share", *shares],
    ]
    missing = [row["node"] for row in nodes if "counted" not in row]
    return [
        "",
        f"estimated and counted by {source}, both before place and route",
        *aligned(table, range(1, len(head))),
        *([f"not counted: {', '.join(missing)}"] if missing else []),
    ]


def _flat(pairs: Sequence[Sequence[int]]) -> list[str]:
    return [str(number) for pair in pairs for number in pair]
