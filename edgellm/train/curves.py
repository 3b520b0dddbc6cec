"""The loss curves of a run as a picture, from its log."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm import files
from edgellm.train import logs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "loss.png"
WIDE = 4.0  # a range of losses that has enough of 1, 2, 5, 10 in it to label
PANEL = (5.0, 3.6)  # inches


def draw(folder: Path) -> None:
    """Write `loss.png` beside `log.csv`: a panel for each stage, training and validation loss over tokens."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = logs.read(folder)
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    if not stages:
        return
    figure = Figure((PANEL[0] * len(stages), PANEL[1]), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        _panel(axes, stage, [row for row in rows if row["stage"] == stage])
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    files.write_bytes(folder / PICTURE, picture.getvalue())


def _panel(axes: Axes, stage: str, rows: Sequence[dict[str, str]]) -> None:
    from matplotlib.ticker import EngFormatter, FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

    for column, label, style in (
        ("loss", "training, smoothed", "-"),
        ("valid_loss", "validation (answers)", "o-"),
    ):
        points = [(int(row["tokens"]), float(row[column])) for row in rows if row[column]]
        axes.plot([x for x, _ in points], [y for _, y in points], style, markersize=3, label=label)
    axes.set(title=stage, xlabel="tokens", ylabel="loss, nats a token", yscale="log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high / low > WIDE else MaxNLocator(5))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
