"""Pipeline timelines: when each node's vectors left it, of one token and of several slots at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgellm.report import canvas, svg
from edgellm.report.svg import MUTED, PAPER, SERIES
from edgellm.sim.full_pipeline import FullPipeline
from edgellm.sim.recording import OnePrompt
from edgellm.sim.spans import Span

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

NARROW = 0.002  # of the width of a timeline


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar of a timeline: cycles from the timeline's first, the number that chooses its colour, its tip."""

    node: str
    first: int
    last: int
    kind: int | None
    tip: str


def token(one: OnePrompt) -> Markup:
    """When each node's vectors of one token left it, a colour a layer."""
    first, last = one.spans[0].first, max(span.last for span in one.spans)
    nodes = list(dict.fromkeys(span.node for span in one.spans))
    marks = [
        _mark(span.node, span.first - first, span.last - first, span.layer, _layer(span.layer))
        for span in one.spans
    ]
    figure, axes = canvas.figure(len(nodes))
    tips = _draw(axes, nodes, marks)
    layers = max((span.layer for span in one.spans if span.layer is not None), default=-1)
    canvas.legend(axes, [f"layer {layer}" for layer in range(layers + 1)])
    title = f"The way of the token at position {one.position} through the pipeline"
    what = (
        f"{last - first + 1:,} cycles from the first beat of {nodes[0]} to the last of {nodes[-1]}, simulated"
    )
    return svg.inline(
        figure, "token", title, f"{what}; one row a node, one bar a vector, one colour a layer.", tips
    )


def pipeline(full: FullPipeline, order: Sequence[str]) -> Markup:
    """When each node's vectors left it with several slots at work, a colour a slot; nodes in `order`."""
    known = {span.node for span in full.spans}
    nodes = [node for node in order if node in known]
    marks = [_slot_mark(span, full.first) for span in full.spans]
    figure, axes = canvas.figure(len(nodes))
    tips = _draw(axes, nodes, marks)
    axes.set_xlim(0, full.shown_until - full.first)
    canvas.legend(axes, [f"slot {slot}" for slot in range(full.slots)])
    busiest = max(full.nodes, key=lambda node: full.nodes[node].busy)
    what = f"{full.shown_until - full.first:,} of the {full.last - full.first:,} cycles in which all of them generated"
    rest = f"{busiest} sends most of the time, {full.nodes[busiest].busy:.0%} of the cycles"
    description = f"{what}, simulated; one row a node, one colour a slot; {rest}."
    return svg.inline(figure, "pipeline", f"The pipeline with {full.slots} slots busy", description, tips)


def _slot_mark(span: Span, origin: int) -> Mark:
    whose = f", slot {span.slot}, position {span.position}{_layer(span.layer)}"
    return _mark(span.node, span.first - origin, span.last - origin, span.slot, whose)


def _layer(layer: int | None) -> str:
    return "" if layer is None else f", layer {layer}"


def _mark(node: str, first: int, last: int, kind: int | None, whose: str) -> Mark:
    return Mark(node, first, last, kind, f"{node}{whose}: cycles {first:,} to {last:,}")


def _draw(axes: Axes, nodes: Sequence[str], marks: Sequence[Mark]) -> dict[str, str]:
    """A bar a mark, a row a node. The tips of the bars."""
    narrow = max(mark.last for mark in marks) * NARROW
    tips: dict[str, str] = {}
    for number, mark in enumerate(marks):
        gid, width = f"bar-{number}", mark.last - mark.first + 1
        colour = MUTED if mark.kind is None else SERIES[mark.kind % len(SERIES)]
        edge = PAPER if width > narrow else colour  # a single beat stays visible
        axes.barh(
            nodes.index(mark.node),
            width,
            0.72,
            mark.first,
            color=colour,
            edgecolor=edge,
            linewidth=0.5,
            gid=gid,
        )
        tips[gid] = mark.tip
    canvas.rows(axes, nodes, "clock cycle")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return tips
