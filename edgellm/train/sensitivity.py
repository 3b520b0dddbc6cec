"""Sensitivity scan: what each part of a model costs in quality when it alone is narrow.

Everything else has 8 bits, and nothing is trained; so the scan ranks parts, and overstates what training would leave of
the loss (the per-layer analysis of HAWQ, Dong et al. 2019, with losses measured instead of second derivatives).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgellm import files, progress
from edgellm.errors import UsageError
from edgellm.train.bits import BLOCK_KINDS, Bits
from edgellm.train.quality import Quality
from edgellm.train.quantise import Quantiser

WHOLE = "everything"  # the reference: all parts at 8 bits
TABLE, PICTURE = "sensitivity.csv", "sensitivity.png"
WEIGHT_WIDTHS = (4, 3, 2)
BYTES = Bits(weight=8, head=8)
COLUMNS = ("part", "bits", "loss", "increase", "exact")


@dataclass(frozen=True, slots=True)
class Point:
    """One part at one width; `increase` is of the loss against everything at 8 bits, in nats a token."""

    part: str
    bits: int
    loss: float
    increase: float
    exact: float

    def cells(self) -> tuple[str, str, str, str, str]:
        """As in the CSV."""
        return self.part, str(self.bits), f"{self.loss:.5f}", f"{self.increase:.5f}", f"{self.exact:.4f}"


def parts(layers: int) -> Iterator[tuple[str, int, Bits]]:
    """(part, width, all widths): every kind, every kind of every layer, head, embedding, activations, cache."""
    names = [*BLOCK_KINDS, *(f"layers.{layer}.{kind}" for layer in range(layers) for kind in BLOCK_KINDS)]
    for width in WEIGHT_WIDTHS:
        for name in names:
            yield name, width, Bits(weight=8, head=8, overrides={name: width})
        yield "head", width, Bits(weight=8, head=width)
        yield "embedding", width, Bits(weight=8, head=8, embedding=width)
    yield "activation", 4, Bits(weight=8, head=8, activation=4)
    yield "glu", 4, Bits(weight=8, head=8, glu=4)
    yield "kv", 4, Bits(weight=8, head=8, kv=4)


def scan(quantiser: Quantiser, folder: Path) -> list[Point]:
    """Measure every part and write `sensitivity.csv` and `sensitivity.png`; points already in the table are kept.

    Raises: UsageError when the table is of another model or of other lines.
    """
    table = folder / TABLE
    known = {(point.part, point.bits): point for point in read(table)}
    todo = list(parts(quantiser.source.arch.layers))
    reference = quantiser.quality(BYTES)
    whole = _point(WHOLE, 8, reference, reference)
    if known.setdefault((WHOLE, 8), whole).cells() != whole.cells():
        raise UsageError(
            f"{table}: its model loses {known[WHOLE, 8].loss:.5f} nats a token with 8 bits, this one {whole.loss:.5f}: take "
            "another folder"
        )
    with progress.track("Sensitivity", len(todo)) as bar:
        for name, width, bits in todo:
            if (name, width) not in known:
                known[name, width] = _point(name, width, quantiser.quality(bits), reference)
                _write(table, list(known.values()))
            bar.advance(1, part=f"{name} at {width}")
    points = [known[name, width] for name, width, _ in todo]
    draw(points, folder / PICTURE)
    return points


def _point(name: str, width: int, measured: Quality, reference: Quality) -> Point:
    return Point(name, width, measured.loss, measured.loss - reference.loss, measured.exact)


def read(path: Path) -> list[Point]:
    """The points of a table; none when there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Point(row["part"], int(row["bits"]), *(float(row[name]) for name in COLUMNS[2:])) for row in rows]


def _write(path: Path, points: list[Point]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(point.cells() for point in points)
    files.write_text(path, text.getvalue())


def draw(points: list[Point], path: Path) -> None:
    """The increase of the loss as a picture: a row for each part, a column for each width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(point.part for point in points))
    columns = sorted({point.bits for point in points}, reverse=True)
    cells = {(point.part, point.bits): point.increase for point in points}
    grid = [[max(cells.get((name, width), float("nan")), 1e-4) for width in columns] for name in names]
    figure = Figure((5.0, 0.9 + 0.24 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(
        grid, aspect="auto", norm=LogNorm(1e-4, max(1e-3, max(cells.values()))), cmap="YlOrRd"
    )
    axes.set_xticks(range(len(columns)), [f"{width} bits" for width in columns])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, name in enumerate(names):
        for column, width in enumerate(columns):
            if (name, width) in cells:
                axes.text(column, row, f"{cells[name, width]:.4f}", ha="center", va="center", fontsize=7)
    axes.set_title("loss increase of one part alone, nats a token", fontsize=9)
    figure.colorbar(image, shrink=0.6)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    files.write_bytes(path, picture.getvalue())
