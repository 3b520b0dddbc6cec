"""The timeline of one token as a picture (PNG)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.sim.timeline import Span, shares

INK, COLOURS = "#222222", ("#1b6ca8", "#e07a1f", "#3a9a5b", "#b5427a", "#7a5bb5")


def draw(spans: Sequence[Span], title: str, path: Path) -> None:
    """Two panels: when each node's vectors left it, coloured by layer; and how many cycles each node accounts for."""
    from matplotlib.figure import Figure  # not pyplot: a notebook's state stays as it is

    figure = Figure(figsize=(14, 6), layout="constrained")
    when, share = figure.subplots(1, 2, width_ratios=(3, 1))
    nodes = list(dict.fromkeys(span.node for span in spans))
    origin = spans[0].first
    for span in spans:
        colour = "#777777" if span.layer is None else COLOURS[span.layer % len(COLOURS)]
        width = span.last - span.first + 1
        when.barh(nodes.index(span.node), width, left=span.first - origin, color=colour, height=0.7)
    when.set_yticks(range(len(nodes)), nodes)
    when.invert_yaxis()
    when.set_xlabel("clock cycle (simulated)")
    when.set_title(f"{title}: when each node's output left it, one colour a layer", color=INK, fontsize=11)
    when.grid(axis="x", alpha=0.3)
    _draw_shares(share, shares(spans), nodes)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    files.write_bytes(path, picture.getvalue())


def _draw_shares(axes: Any, cycles: dict[str, int], nodes: Sequence[str]) -> None:
    bars = axes.barh(range(len(nodes)), [cycles.get(node, 0) for node in nodes], color="#1b6ca8", height=0.7)
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.set_yticks(range(len(nodes)), [])
    axes.invert_yaxis()
    axes.set_xlabel("cycles of the token's way")
    axes.set_title(f"sum {sum(cycles.values()):,} cycles", color=INK, fontsize=11)
    axes.margins(x=0.15)
