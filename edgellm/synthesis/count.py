"""All of a design counted by Yosys: node by node into its report, or its top module as a whole."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgellm import progress
from edgellm.compiler import report
from edgellm.compiler.costs import RESOURCES
from edgellm.sim import design
from edgellm.synthesis import yosys
from edgellm.synthesis.dependencies import Library

SOURCE = "Yosys"
SYNTHESIS = "files.f"


def nodes(folder: Path, kind: str | None = None) -> dict[str, dict[str, int]]:
    """Count every node of a compiled design and put the result into its report; node -> resource -> number.

    All FIFOs count as one node, all width converters as another, as in the report. `kind` is Yosys' family; another than the
    board's is counted and returned, but not written. Raises: SimulationError when `folder` is no design, CompileError,
    ToolMissing.
    """
    about = design.load(folder)
    own = yosys.family(about.part)
    found = _count(folder, [(cell.row, cell.module) for cell in about.cells], kind or own)
    if kind in (None, own):
        report.count(folder, SOURCE, found)
    return found


def whole(folder: Path, kind: str | None = None) -> dict[str, int]:
    """The top module in one go, flattened: what optimisation across nodes saves. Raises as `nodes`."""
    about = design.load(folder)
    chosen = kind or yosys.family(about.part)
    return yosys.count(_library(folder), about.top, chosen)


def _library(folder: Path) -> Library:
    return Library(folder, (folder / SYNTHESIS).read_text(encoding="utf-8").split())


def _count(folder: Path, cells: Sequence[tuple[str, str]], kind: str) -> dict[str, dict[str, int]]:
    library = _library(folder)
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(RESOURCES, 0))
    label = f"Synthesising for {kind}"
    with progress.track(label, total=len(cells)) as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda cell: yosys.count(library, cell[1], kind), cells)
        for (row, _), part in zip(cells, counts, strict=True):
            for name, number in part.items():
                found[row][name] += number
            bar.advance()
    return dict(found)
