"""The curve of a pruned student as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm import files
from edgellm.train.prune_curve import WHOLE, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "curve.png"
SIZE = (11.0, 4.6)  # inches
COLOURS = {"ffn": "#1f77b4", "heads": "#d95f02", "layers": "#2e7d46"}
TITLES = {"ffn": "fewer FFN channels", "heads": "fewer heads (query/KV)", "layers": "fewer layers"}


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """Loss and exact match over the multiplications of a token, a line for each kind of what was removed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter

    figure = Figure(SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    loss, exact = figure.subplots(1, 2)
    whole = next(row for row in rows if row.kind == WHOLE)
    for kind in dict.fromkeys(row.kind for row in rows if row.kind != WHOLE):
        series = [whole, *(row for row in rows if row.kind == kind)]
        _losses(loss, kind, series)
        _matches(exact, kind, series)
    loss.plot([], [], ":", color="#888888", label="before recovery")
    for axes, height in ((loss, whole.loss), (exact, whole.exact.percent)):
        axes.plot([whole.macs / 1000], [height], "k*", markersize=11, label="whole, trained on as long")
        _finish(axes)
    loss.set(ylabel="validation loss, nats an answer token", yscale="log")
    loss.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    exact.set(ylabel="exact match, % (95 % intervals)")
    figure.suptitle(title, fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    files.write_bytes(path, picture.getvalue())


def _losses(axes: Axes, kind: str, series: Sequence[Row]) -> None:
    work = [row.macs / 1000 for row in series]
    colour = COLOURS[kind]
    axes.plot(work, [row.loss_before for row in series], "o:", color=colour, alpha=0.45, markersize=3)
    axes.plot(work, [row.loss for row in series], "o-", color=colour, markersize=4, label=TITLES[kind])
    for row in series[1:]:
        _label(axes, kind, row, row.loss)


def _matches(axes: Axes, kind: str, series: Sequence[Row]) -> None:
    below = [max(0.0, row.exact.percent - row.exact.low) for row in series]
    above = [max(0.0, row.exact.high - row.exact.percent) for row in series]
    axes.errorbar(
        [row.macs / 1000 for row in series],
        [row.exact.percent for row in series],
        (below, above),
        fmt="o-",
        color=COLOURS[kind],
        markersize=4,
        linewidth=1.2,
        elinewidth=0.7,
        capsize=2,
        label=TITLES[kind],
    )
    for row in series[1:]:
        _label(axes, kind, row, row.exact.percent)


def _label(axes: Axes, kind: str, row: Row, height: float) -> None:
    """What is left, beside the point."""
    arch = row.arch
    left = {"ffn": f"{arch.ffn}", "heads": f"{arch.heads}/{arch.kv_heads}", "layers": f"{arch.layers}"}[kind]
    axes.annotate(
        left,
        (row.macs / 1000, height),
        textcoords="offset points",
        xytext=(4, 4),
        fontsize=7,
        color=COLOURS[kind],
    )


def _finish(axes: Axes) -> None:
    axes.set_xlabel("thousand multiplications a token")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
