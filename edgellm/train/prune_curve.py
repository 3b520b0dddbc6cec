"""Size against quality: a student pruned to several sizes, each recovered for a short while and measured.

Every size is a point in a folder of its own, finished once its `point.json` is there; a curve that was interrupted goes on
where it stopped, within a point as well. The unpruned student is a point too, trained on for as long as the others: what
pruning costs is the difference to it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.errors import UsageError
from edgellm.evaluation import scores
from edgellm.evaluation.examples import Codec
from edgellm.evaluation.measure import measure_all
from edgellm.evaluation.sets import CaseSet
from edgellm.numerics import workload
from edgellm.numerics.model import Architecture
from edgellm.train import prune, prune_stage, prune_table
from edgellm.train.config import Plan, Saving
from edgellm.train.evaluate import TorchReader
from edgellm.train.loop import Common
from edgellm.train.model import Decoder, parameter_count
from edgellm.train.prune_stage import Lines, Round, Work
from edgellm.train.recorder import validation_loss

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of the FFN channels
WHOLE, KINDS = "whole", ("ffn", "heads", "layers")
POINT, TABLE, SETTINGS, RECOVERY = "point.json", "curve.csv", "settings.json", "recovery"


@dataclass(frozen=True, slots=True)
class Match:
    """Exact match in percent, over all test sets with its 95 % interval, and of each."""

    percent: float
    low: float
    high: float
    by_set: dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One point. Losses in nats an answer token on the validation lines, before and after recovery."""

    kind: str
    arch: Architecture
    loss_before: float
    loss: float
    exact: Match

    @property
    def macs(self) -> int:
        """Multiplications of a token at position 0."""
        return workload.macs(self.arch, 0)

    def cells(self) -> dict[str, object]:
        """Column -> value of the table."""
        shape = {field: getattr(self.arch, field) for field in prune.SHRINKS}
        work = {"macs": self.macs, "macs_last": workload.macs(self.arch, self.arch.context - 1)}
        losses = {"loss_before": f"{self.loss_before:.5f}", "loss": f"{self.loss:.5f}"}
        exact = {"exact": self.exact.percent, "exact_low": self.exact.low, "exact_high": self.exact.high}
        by_set = {f"exact_{name}": percent for name, percent in self.exact.by_set.items()}
        size = {"parameters": parameter_count(self.arch)}
        return {"kind": self.kind, **shape, **size, **work, **losses, **exact, **by_set}


@dataclass(frozen=True, slots=True)
class Bench:
    """What all points share: the trained student, the lines, how they recover, what they are tested on, where they go."""

    student: Decoder
    lines: Lines
    plan: Plan
    codec: Codec
    sets: Sequence[CaseSet]
    folder: Path
    seed: int
    saving: Saving


def shapes(arch: Architecture, multiple: int, kinds: Sequence[str] = KINDS) -> list[tuple[str, Architecture]]:
    """(kind, shape) of every point: the whole student first, then each kind from much to little that stays."""
    found = [(WHOLE, arch)]
    for kind in kinds:
        found += [(kind, shape) for shape in _SHAPES[kind](arch, multiple)]
    return found


def _by_ffn(arch: Architecture, multiple: int) -> Iterator[Architecture]:
    widths = {prune_table.nearest(arch.ffn, arch.ffn * (1 - share), multiple) for share in SHARES}
    for width in sorted(widths - {0, arch.ffn}, reverse=True):
        yield dataclasses.replace(arch, ffn=width)


def _by_heads(arch: Architecture, multiple: int) -> Iterator[Architecture]:
    """First fewer query heads in every group, then fewer groups."""
    group = arch.heads // arch.kv_heads
    for size in range(group - 1, 0, -1):
        yield dataclasses.replace(arch, heads=arch.kv_heads * size)
    for kv_heads in range(arch.kv_heads - 1, 0, -1):
        yield dataclasses.replace(arch, heads=kv_heads * group, kv_heads=kv_heads)


def _by_layers(arch: Architecture, multiple: int) -> Iterator[Architecture]:
    least = math.ceil(arch.layers * (1 - SHARES[-1]))
    for layers in range(arch.layers - 1, least - 1, -1):
        yield dataclasses.replace(arch, layers=layers)


_SHAPES = {"ffn": _by_ffn, "heads": _by_heads, "layers": _by_layers}


def name(arch: Architecture) -> str:
    """Folder of a point."""
    return f"layers{arch.layers}-heads{arch.heads}-kv{arch.kv_heads}-ffn{arch.ffn}"


def measure(bench: Bench, kind: str, arch: Architecture) -> Row:
    """The point of a shape: pruned, recovered and tested, or read where that was done before."""
    place = bench.folder / name(arch)
    if (place / POINT).is_file():
        return _read(place / POINT, kind)
    plan, lines = bench.plan, bench.lines
    model = prune.shrink(bench.student, arch, lines.sample, plan.prompt_weight)
    before = validation_loss(model, lines.valid)
    work = Work(Common(place, bench.seed, bench.saving), lines, resume=True)
    prune_stage.recover(Round(RECOVERY, arch, plan), model, bench.student, work)
    row = Row(kind, arch, before, validation_loss(model, lines.valid), _exact(bench, model))
    files.write_text(place / POINT, json.dumps(dataclasses.asdict(row), indent=2) + "\n")
    return row


def _read(path: Path, kind: str) -> Row:
    there = json.loads(path.read_text("utf-8"))
    arch, exact = Architecture(**there["arch"]), Match(**there["exact"])
    return Row(kind, arch, there["loss_before"], there["loss"], exact)


def _exact(bench: Bench, model: Decoder) -> Match:
    reports = measure_all(TorchReader(model.eval()), bench.codec, bench.sets, "Testing on")
    right = {key: [outcome.exact for outcome in report.outcomes] for key, report in reports.items()}
    every = [outcome for outcomes in right.values() for outcome in outcomes]
    by_set = {key: round(100 * sum(part) / len(part), 1) for key, part in right.items()}
    return Match(**scores.share(sum(every), len(every)), by_set=by_set)


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Note the settings of a curve in its folder. Raises: UsageError when its points were measured with others."""
    path = folder / SETTINGS
    if not path.is_file():
        files.write_text(path, json.dumps(settings, indent=2) + "\n")
        return
    there = json.loads(path.read_text("utf-8"))
    for key, value in json.loads(json.dumps(settings)).items():
        if there.get(key) != value:
            raise UsageError(
                f"{folder}: its points were measured with {key} {there.get(key)}, not {value}: take another folder"
            )


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """curve.csv: a line for each point, exact match of each test set in a column of its own."""
    text = io.StringIO()
    cells = [row.cells() for row in rows]
    writer = csv.DictWriter(text, list(cells[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    files.write_text(path, text.getvalue())
