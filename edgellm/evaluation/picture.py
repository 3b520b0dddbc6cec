"""Which intents are taken for which others, as a picture (PNG)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm import files

INCHES_A_CLASS, MARGIN, LEAST = 0.3, 3.0, 5.0  # inches
MOST_NAME, WRAP = 34, 70  # characters of a label and of a title's line
FULL_COLOUR = 0.3  # share of a row that is dark, unless a larger one is there
INK, GREEN = "#222222", "#2e7d46"
LEGEND = "number of lines; green: right; orange: share of the row that went wrong so"
Pairs = Mapping[tuple[str, str], int]  # (expected, given) -> how often


def draw(pairs: Pairs, title: str, path: Path) -> None:
    """Expected intents down, given ones across, those with at least one confusion; counts in the cells.

    The colour of a wrong cell is its share of the row. Whatever is no case's expected intent is one column, `(other)`.
    """
    from matplotlib.figure import Figure  # not pyplot: a notebook's state stays as it is

    rows, columns, counts = matrix(pairs)
    size = [max(LEAST, MARGIN + INCHES_A_CLASS * len(names)) for names in (columns, rows)]
    figure = Figure(figsize=(size[0], size[1]))
    axes = figure.subplots()
    if rows:
        _cells(axes, rows, columns, counts)
    else:
        axes.text(0.5, 0.5, "no intent was taken for another", ha="center", va="center")
        axes.set_axis_off()
    axes.set_title("\n".join([*textwrap.wrap(title, WRAP), LEGEND]), fontsize=9, color=INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130, bbox_inches="tight", pad_inches=0.15)
    files.write_bytes(path, picture.getvalue())


OTHER = "(other)"


def matrix(pairs: Pairs) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Row names, column names, counts int64 [rows, columns]; the columns start with the rows: right answers are the diagonal."""
    expected = {want for want, _ in pairs}
    wrong = [(want, got if got in expected else OTHER) for want, got in pairs if want != got]
    rows = sorted({want for want, _ in wrong})
    columns = rows + sorted({got for _, got in wrong} - set(rows), key=lambda name: (name == OTHER, name))
    counts = np.zeros((len(rows), len(columns)), np.int64)
    for (want, got), count in pairs.items():
        if want in rows:
            counts[rows.index(want), columns.index(got if got in expected else OTHER)] += count
    return rows, columns, counts


def _cells(axes: Any, rows: list[str], columns: list[str], counts: NDArray[np.int64]) -> None:
    diagonal = np.eye(*counts.shape) == 1
    shares = np.where(diagonal, 0.0, counts / counts.sum(1, keepdims=True))
    top = max(FULL_COLOUR, float(shares.max()))
    axes.imshow(np.ma.masked_equal(shares, 0.0), cmap="Oranges", vmin=0.0, vmax=top, aspect="equal")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = GREEN if diagonal[row, column] else "white" if shares[row, column] > 0.6 * top else INK
        text = f"{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    _name_axes(axes, [_short(name) for name in rows], [_short(name) for name in columns])


def _name_axes(axes: Any, rows: list[str], columns: list[str]) -> None:
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=90)
    axes.set_ylabel("expected intent")
    axes.set_xlabel("given intent")
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    axes.tick_params(which="minor", length=0)


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAME else name[: MOST_NAME - 1] + "…"
