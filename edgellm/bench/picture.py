"""A run as a picture (PNG): latency to the first token and between tokens, throughput, and where the time goes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.bench.results import MEASURED, Result, Row

INK, COLOURS = "#222222", ("#8d6e63", "#f0a202", "#2e7d46")
PARTS = ("host", "transfer", "device")
INCHES_A_ROW, LEAST, WIDTH = 0.34, 2.6, 11.0


def draw(result: Result, path: Path) -> None:
    """Write the picture; whole or not at all."""
    picture = io.BytesIO()
    figure(result).savefig(picture, format="png", dpi=130, bbox_inches="tight", pad_inches=0.15)
    files.write_bytes(path, picture.getvalue())


def figure(result: Result) -> Any:
    """The matplotlib figure; a notebook shows it."""
    from matplotlib.figure import Figure  # not pyplot: a notebook's state stays as it is

    height = max(LEAST, INCHES_A_ROW * len(result.rows) + 1.4)
    chart = Figure(figsize=(WIDTH, height))
    first, between, speed, parts = chart.subplots(1, 4, sharey=True)
    rows = list(reversed(result.rows))  # the first one on top
    _latency(first, rows, "ttft", "time to first token, us")
    _latency(between, rows, "itl", "between tokens, us")
    _bars(speed, rows)
    _shares(parts, rows)
    first.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    title = f"{result.model}, {result.date}; dot p50, tick p90, line to p99{_footnote(rows)}"
    chart.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    chart.legend(*parts.get_legend_handles_labels(), fontsize=7, ncols=3, loc="upper right", frameon=False)
    chart.tight_layout()
    return chart


def _footnote(rows: Sequence[Row]) -> str:
    tags = sorted({row.tag for row in rows} - {MEASURED})
    return f"; * {', '.join(tags)}" if tags else ""


def _label(row: Row) -> str:
    simulated = "" if row.tag == MEASURED else "*"
    return f"{row.backend}{simulated}  batch {row.case.batch}, prompt {row.case.prompt}"


def _latency(axes: Any, rows: Sequence[Row], name: str, title: str) -> None:
    """From the median (a dot) over p90 (a tick) to p99."""
    for place, row in enumerate(rows):
        found = getattr(row, name)
        axes.plot([found.p50, found.p99], [place, place], color="#bbbbbb", linewidth=2, zorder=1)
        axes.plot(found.p90, place, marker="|", color=INK, markersize=9)
        axes.plot(found.p50, place, marker="o", color=COLOURS[2], markersize=5)
    if all(getattr(row, name).p50 > 0 for row in rows):
        axes.set_xscale("log")
    _style(axes, title)


def _bars(axes: Any, rows: Sequence[Row]) -> None:
    axes.barh(range(len(rows)), [row.speed for row in rows], color=COLOURS[2], height=0.6)
    axes.set_xscale("log")
    _style(axes, "tokens/s, all prompts")


def _shares(axes: Any, rows: Sequence[Row]) -> None:
    left = [0.0] * len(rows)
    for name, colour in zip(PARTS, COLOURS, strict=True):
        widths = [100 * (getattr(row, name) or 0.0) for row in rows]
        axes.barh(range(len(rows)), widths, left=left, color=colour, height=0.6, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    _style(axes, "where the time goes, %")


def _style(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=8, color=INK)
    axes.tick_params(labelsize=7)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
