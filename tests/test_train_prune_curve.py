"""The size/quality curve: which points, what is kept of them, how it goes on."""

import csv
import dataclasses
import json
import struct

import pytest
import torch
from shapes import HOME, TINY
from tiny_run import finished_run, write_recipe

from edgellm.cli.main import main
from edgellm.errors import UsageError
from edgellm.numerics import workload
from edgellm.train import loop, prune, prune_bench, prune_curve, prune_picture, recorder
from edgellm.train.model import parameter_count
from edgellm.train.prune_bench import Effort
from edgellm.train.prune_curve import WHOLE, Match, Row

pytestmark = pytest.mark.train
torch.set_num_threads(1)

EFFORT = Effort(tokens=300, test_lines=2, kinds=("ffn", "layers"))
SIZES = [(2, 32), (2, 24), (2, 12), (1, 32)]  # layers, FFN width of the tiny student's points


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(recorder.curves, "draw", lambda folder: None)


def test_points_of_home_260k():
    points = prune_curve.shapes(HOME, 12)
    assert points[0] == (WHOLE, HOME)
    assert [arch.ffn for kind, arch in points if kind == "ffn"] == [168, 156, 132, 120, 96, 72]
    assert [arch.layers for kind, arch in points if kind == "layers"] == [4, 3, 2]
    assert [(arch.heads, arch.kv_heads) for kind, arch in points if kind == "heads"] == [(2, 2), (2, 1)]


def test_shares_that_round_to_the_same_width_are_one_point():
    assert [arch.ffn for _, arch in prune_curve.shapes(TINY, 12, ["ffn"])] == [24, 12]


def test_one_layer_always_stays():
    assert [arch.layers for _, arch in prune_curve.shapes(TINY, 12, ["layers"])] == [2, 1]


def curve(out, effort=EFFORT):
    return list(prune_bench.run(write_recipe(out.parent), finished_run(), out, effort))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder.curves, "draw", lambda folder: None)
        out = tmp_path_factory.mktemp("curve") / "out"
        return out, curve(out)


def test_every_point_is_smaller_and_was_measured(drawn):
    _, rows = drawn
    assert [(row.arch.layers, row.arch.ffn) for row in rows] == SIZES
    for row in rows:
        assert 0 < row.loss < 6
        assert 0 <= row.exact.low <= row.exact.percent <= row.exact.high <= 100
    assert rows[0].loss_before < min(row.loss_before for row in rows[1:])


def test_table(drawn):
    out, rows = drawn
    with (out / "curve.csv").open() as file:
        table = list(csv.DictReader(file))
    for row, cells in zip(rows, table, strict=True):
        assert int(cells["parameters"]) == parameter_count(row.arch)
        assert int(cells["macs"]) == workload.macs(row.arch, 0)
        assert int(cells["macs_last"]) == workload.macs(row.arch, 255)
        assert float(cells["loss"]) == pytest.approx(row.loss, abs=1e-5)
        assert float(cells["exact_heldout"]) == row.exact.by_set["heldout"]
    assert [int(cells["ffn"]) for cells in table] == [ffn for _, ffn in SIZES]


def test_points_that_are_there_are_not_measured_again(drawn, monkeypatch):
    out, rows = drawn
    monkeypatch.setattr(prune_curve.prune, "shrink", None)
    assert curve(out) == rows


def test_an_interrupted_curve_goes_on_within_a_point(drawn, tmp_path, monkeypatch):
    _, rows = drawn
    step, seen = loop.Stage._step, []

    def dying(stage, batch):
        seen.append(stage)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return step(stage, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Stage, "_step", dying)
        with pytest.raises(KeyboardInterrupt):
            curve(tmp_path / "out")
    assert curve(tmp_path / "out") == rows


def test_other_settings_need_another_folder(drawn):
    out, _ = drawn
    with pytest.raises(UsageError, match=r"its points were measured with test_lines .*: take another folder"):
        curve(out, dataclasses.replace(EFFORT, test_lines=3))


@pytest.mark.parametrize(
    ("effort", "message"),
    [
        (Effort(tokens=0), r"tokens must be at least 1, not 0"),
        (Effort(test_lines=0), r"lines must be at least 1, not 0"),
        (Effort(kinds=("tails",)), r"'tails' cannot be pruned: choose from ffn, heads, layers"),
    ],
)
def test_efforts_that_cannot_be(tmp_path, effort, message):
    with pytest.raises(UsageError, match=message):
        curve(tmp_path / "out", effort)


def test_the_command_shows_the_table(drawn, tmp_path, capsys):
    out, rows = drawn
    options = [
        "--config",
        str(write_recipe(tmp_path)),
        "--tokens",
        "300",
        "--lines",
        "2",
        "--only",
        "ffn, layers",
    ]
    assert main(["prune", str(finished_run()), "-o", str(out), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [*prune_curve_columns(), "exact"]
    assert len(lines) == 2 + len(rows)
    assert main(["prune", str(tmp_path / "none"), "-o", str(tmp_path / "new"), *options]) == 2
    assert "not a checkpoint, weights.safetensors is missing" in capsys.readouterr().err


def prune_curve_columns():
    return ["kind", "layers", "heads", "kv_heads", "ffn", "parameters", "macs", "loss_before", "loss"]


def rows_of(shapes):
    match = Match(90.0, 85.0, 94.0, {"free": 90.0})
    return [Row(kind, arch, 0.5, 0.1, match) for kind, arch in shapes]


def test_picture(tmp_path):
    for shapes in (prune_curve.shapes(HOME, 12), [(WHOLE, HOME)]):
        prune_picture.draw(rows_of(shapes), "toy", tmp_path / "curve.png")
        data = (tmp_path / "curve.png").read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (1430, 598)


def test_a_point_on_disk_is_the_row(tmp_path, drawn):
    out, rows = drawn
    there = json.loads((out / prune_curve.name(rows[1].arch) / "point.json").read_text())
    assert there["arch"] == dataclasses.asdict(rows[1].arch)
    assert prune.SHRINKS == ("layers", "heads", "kv_heads", "ffn")
