"""The roofline and the resources as pictures that say what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm.report import canvas, svg
from edgellm.report.resources import Bar
from edgellm.report.roofline import Roofline
from edgellm.report.svg import INK, SERIES

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


def roofline(found: Roofline) -> Markup:
    """MACs a cycle over MACs a byte, both logarithmic: two roofs and what runs reached."""
    figure, axes = canvas.figure(11)
    low = min(point.intensity for point in found.points) / 8
    high = max(point.intensity for point in found.points) * 8
    for roof, line in ((found.board, "--"), (found.design, "-")):
        corner = min(max(roof.peak / roof.bandwidth, low), high)
        x, label = [low, corner, high], f"{roof.label}: {roof.peak:,.0f} MACs/cycle"
        axes.plot(x, [roof.at(intensity) for intensity in x], line, color=INK, label=label)
    for point, colour, marker in zip(found.points, SERIES, "so^", strict=False):
        label = f"{point.label} ({point.tag}): {point.rate:,.1f} MACs/cycle"
        axes.plot([point.intensity], [point.rate], marker, color=colour, markersize=9, label=label)
    _logarithmic(axes, low, high)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), **canvas.LEGEND)
    reached = "; ".join(f"{point.label}, {point.tag}: {point.rate:,.1f}" for point in found.points)
    what = f"Built: {found.design.peak:,.0f} MACs a cycle. Reached: {reached}."
    return svg.inline(figure, "roofline", "Roofline: multiplications a cycle against work a byte", what, {})


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set(xlabel="MACs a byte read on chip", ylabel="MACs a cycle")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.6)


def resources(bars: Sequence[Bar]) -> Markup:
    """Share of the board that each resource takes, by kind of node."""
    figure, axes = canvas.figure(len(bars))
    tips: dict[str, str] = {}
    for row, bar in enumerate(bars):
        tips.update(_stack(axes, row, bar))
    axes.axvline(1.0, color=INK, linewidth=1, linestyle="--")
    axes.set_xlim(0, max(1.05, 1.1 * max(bar.share for bar in bars)))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    canvas.rows(axes, [bar.label for bar in bars], "share of the board")
    canvas.legend(axes, list(bars[0].parts))
    what = ", ".join(f"{bar.label} {bar.share:.0%}" for bar in bars)
    title, description = "Resources against the board", f"Share of the board: {what}."
    return svg.inline(figure, "resources", title, description, tips)


def _stack(axes: Axes, row: int, bar: Bar) -> dict[str, str]:
    """The parts of a bar side by side, the whole as a number behind them. The tips of the parts."""
    left, tips = 0.0, {}
    for number, ((kind, used), colour) in enumerate(zip(bar.parts.items(), SERIES, strict=False)):
        width, gid = used / bar.available, f"part-{row}-{number}"
        axes.barh(row, width, 0.7, left, color=colour, gid=gid)
        tips[gid] = f"{bar.label}: {kind} {used:,} of {bar.available:,} ({width:.1%})"
        left += width
    axes.text(left, row, f" {left:.0%}", va="center", color=INK)
    return tips
