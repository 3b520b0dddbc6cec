"""Figures in the page's style, with rows of bars and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgellm.report import svg
from edgellm.report.svg import GRID, INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW_HEIGHT, MARGIN = 11.0, 0.27, 1.1  # inches
LEGEND: dict[str, Any] = {"frameon": False, "labelcolor": INK, "fontsize": 8}
LEGEND_ENTRIES = 8


def figure(rows: int) -> tuple[Figure, Axes]:
    """An empty chart, as high as `rows` rows of bars."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(svg.STYLE):
        made = Figure((WIDTH, MARGIN + ROW_HEIGHT * rows), layout="constrained")
        FigureCanvasSVG(made)
        axes = made.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return made, axes


def rows(axes: Axes, labels: Sequence[str], across: str) -> None:
    """Names for the rows, the first on top, and for the horizontal axis."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(across)
    axes.grid(axis="x", alpha=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, color=GRID)


def legend(axes: Axes, labels: Sequence[str]) -> None:
    """Above the rows; none where colours repeat."""
    from matplotlib.patches import Patch

    if 0 < len(labels) <= LEGEND_ENTRIES:
        patches = [Patch(color=colour, label=label) for label, colour in zip(labels, SERIES, strict=False)]
        axes.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(labels), **LEGEND)
