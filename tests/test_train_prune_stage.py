"""The prune stage: rounds that resume to the same weights, and what later stages read."""

import dataclasses
import json
import random
import shutil

import pytest
import torch
from shapes import TINY
from tiny_run import RECIPE, finished_run

from edgellm.errors import TrainingError, UsageError
from edgellm.train import checkpoint, distill, loop, prune_stage, recorder
from edgellm.train.config import Plan, Recipe, Saving
from edgellm.train.loop import Common, Stage
from edgellm.train.model import Decoder
from edgellm.train.prune_table import Prune

pytestmark = pytest.mark.train
torch.set_num_threads(1)

ARCH = dataclasses.replace(TINY, heads=4, kv_heads=2, ffn=48)
PLAN = Plan(tokens=1500, batch_tokens=256, lr=0.005, distil=0.5)
TABLE = Prune(ffn=0.5, keep_heads=2, multiple=6, steps=2, lines=30)
SAVING = Saving(seconds=0.0, log_steps=1, valid_steps=5)


def lines(count, seed):
    rng = random.Random(seed)
    words = [[rng.randint(4, 39) for _ in range(rng.randint(2, 5))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


TRAIN, VALID = lines(200, 1), lines(40, 2)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(recorder.curves, "draw", lambda folder: None)


def recipe(table=TABLE):
    return Recipe("toy", "", None, ARCH, Plan(4000), Plan(1), prune=table, prune_plan=PLAN)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run that has a student."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder.curves, "draw", lambda folder: None)
        folder = tmp_path_factory.mktemp("run")
        torch.manual_seed(1)
        plan = Plan(4000, batch_tokens=256)
        Stage("student", Decoder(ARCH), ARCH, plan, Common(folder, 7)).run(TRAIN, VALID, False)
        return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def run(folder, resume=False, table=TABLE):
    common = Common(folder, 7, SAVING)
    prune_stage.run(recipe(table), common, prune_stage.draw(TRAIN, VALID, table.lines, 7), resume)


def weights(folder):
    return checkpoint.model_tensors(checkpoint.load(folder)[0])


def sizes(folder):
    arch = checkpoint.describe(folder)["arch"]
    return arch["ffn"], arch["heads"], arch["layers"]


def test_every_round_leaves_a_smaller_model_that_learned_from_the_whole_one(folder):
    run(folder)
    assert sizes(folder / "prune" / "1") == (36, 2, 2)
    assert sizes(folder / "prune") == (24, 2, 2)
    assert {name: tuple(value.shape) for name, value in weights(folder / "prune").items()} == {
        name: tuple(value.shape)
        for name, value in Decoder(prune_stage.final_arch(recipe())).state_dict().items()
    }
    for name in ("prune", "prune/1"):
        assert checkpoint.describe(folder / name)["state"]["tokens"] >= PLAN.tokens


def test_recovery_helps(folder):
    run(folder)
    rows = [row for row in recorder.curves.logs.read(folder) if row["stage"] == "prune"]
    valid = [float(row["valid_loss"]) for row in rows if row["valid_loss"]]
    assert valid[-1] < valid[0]


def test_a_killed_run_resumes_to_the_same_weights(folder, tmp_path, monkeypatch):
    whole = shutil.copytree(folder, tmp_path / "whole")
    run(whole)
    for dies_at in (1, 5, 9):  # before the first checkpoint, in the first round, in the second
        steps = []

        def dying(stage, batch, steps=steps, dies_at=dies_at, step=Stage._step):
            steps.append(stage)
            if len(steps) == dies_at:
                raise KeyboardInterrupt
            return step(stage, batch)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Stage, "_step", dying)
            with pytest.raises(KeyboardInterrupt):
                run(folder, resume=True)
    assert (folder / "prune" / "weights.safetensors").exists()
    run(folder, resume=True)
    expected, got = weights(whole / "prune"), weights(folder / "prune")
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert (folder / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()


def test_resuming_a_finished_stage_measures_nothing_again(folder, monkeypatch):
    run(folder)
    monkeypatch.setattr(prune_stage.prune, "shrink", None)
    run(folder, resume=True)


def test_a_recipe_that_takes_nothing_away(folder):
    with pytest.raises(UsageError, match=r"toy: the recipe has no \[prune\] that takes anything away"):
        run(folder, table=Prune())


def test_a_checkpoint_of_another_recipe(folder):
    run(folder)
    with pytest.raises(TrainingError, match=r"ffn is 24 there and 36 in the recipe"):
        prune_stage.load_final(folder, recipe(dataclasses.replace(TABLE, ffn=0.25)))


def test_without_pruning_the_student_is_what_is_quantised(folder):
    final = prune_stage.load_final(folder, recipe(Prune()))
    student = weights(folder / "student")
    assert final.arch == ARCH
    assert all(torch.equal(student[name], value) for name, value in final.state_dict().items())


PRUNED = """
[prune]
ffn = 0.25
keep_heads = 2
multiple = 8
lines = 50

[prune_plan]
tokens = 3000
lr = 0.005
distil = 0.5
"""


@pytest.fixture(scope="module")
def pruned_run(tmp_path_factory):
    """A tiny run that goes on from a finished student: prune, QAT, evaluation."""
    place = tmp_path_factory.mktemp("pruned")
    (place / "tiny.toml").write_text(RECIPE + PRUNED)
    run = place / "run"
    run.mkdir()
    for name in ("corpus", "teacher", "student"):
        shutil.copytree(finished_run() / name, run / name)
    shutil.copy(finished_run() / "tokenizer.json", run)
    for name in ("prune", "qat", "evaluate"):
        distill.run(place / "tiny.toml", run, stage=name)
    return run


def test_the_integer_model_is_the_pruned_one(pruned_run):
    about = checkpoint.describe(pruned_run / "checkpoint")
    assert (about["arch"]["ffn"], about["arch"]["heads"], about["arch"]["kv_heads"]) == (24, 2, 2)
    assert about["tokens"]["prune"] >= 3000
    manifest = json.loads((pruned_run / "model" / "manifest.json").read_text())
    assert manifest["arch"] == about["arch"]
    whole = finished_run() / "model" / "model.onnx"
    assert (pruned_run / "model" / "model.onnx").stat().st_size < whole.stat().st_size


def test_metrics_of_the_whole_and_the_pruned_student(pruned_run):
    report = json.loads((pruned_run / "metrics.json").read_text())
    assert list(report) == ["unpruned", "float", "quantised", "integer"]


def test_qat_waits_for_pruning(pruned_run, tmp_path):
    run = shutil.copytree(pruned_run, tmp_path / "run")
    shutil.rmtree(run / "prune")
    with pytest.raises(TrainingError, match=r"stage qat needs stage prune, which has not run there"):
        distill.run(pruned_run.parent / "tiny.toml", run, stage="qat", resume=True)


def test_stage_prune_of_a_recipe_that_does_not_prune(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    with pytest.raises(UsageError, match=r"tiny: the recipe has no \[prune\] that takes anything away"):
        distill.run(tmp_path / "tiny.toml", finished_run(), stage="prune")
