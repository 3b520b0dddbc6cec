"""All stages in order: what a run leaves behind, and what it refuses."""

import json
import shutil

import pytest
import torch
from tiny_run import finished_run, write_recipe

from edgellm import manifest
from edgellm.cli.main import main
from edgellm.errors import TrainingError, UsageError
from edgellm.evaluation import sets
from edgellm.runtime import llm
from edgellm.train import checkpoint, distill, logs

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run():
    return finished_run()


def weights(folder):
    return checkpoint.load(folder)[0]


def test_a_run_leaves_every_stage_and_the_final_checkpoint(run):
    left = {path.name for path in run.iterdir()}
    assert {
        "corpus",
        "tokenizer.json",
        "teacher",
        "student",
        "qat",
        "checkpoint",
        "metrics.json",
        "log.csv",
        "loss.png",
        "tensorboard",
        "model",
    } <= left
    assert (run / "checkpoint" / "tokenizer.json").read_bytes() == (run / "tokenizer.json").read_bytes()


def test_the_final_checkpoint_says_what_it_is(run):
    about = checkpoint.load(run / "checkpoint")[1]
    assert about["name"] == "tiny"
    assert about["arch"]["width"] == 16
    assert (about["bits"]["weight"], about["bits"]["head"]) == (4, 4)
    assert about["tokens"]["student"] >= 24000
    assert set(about["scheme"]["shifts"]) == {"qkv", "attn_out", "gate_up", "down", "head"}


def test_metrics_of_all_three_models_on_every_set(run):
    report = json.loads((run / "metrics.json").read_text())
    assert set(report) == {"float", "quantised", "integer"}
    for model in report.values():
        assert list(model) == sets.available()
        for scores in model.values():
            assert scores["lines"] == 2
            assert 0 <= scores["exact"]["percent"] <= scores["intent"]["percent"] <= 100


def test_the_model_is_ready_and_knows_its_metrics(run):
    with llm.load(run / "model") as model:
        assert isinstance(model.generate("turn on the light", max_tokens=2).text, str)
    assert manifest.read(run / "model").metrics == json.loads((run / "metrics.json").read_text())


def test_every_stage_learned_something(run):
    losses = {row["stage"]: float(row["valid_loss"]) for row in logs.read(run) if row["valid_loss"]}
    assert losses["student"] < 5.6  # a guess costs ln 360 = 5.9 nats
    assert losses["qat"] < losses["student"] + 0.3


def test_a_stage_again_gives_the_same_weights(run, tmp_path):
    again = tmp_path / "run"
    again.mkdir()
    for name in ("corpus", "teacher", "student"):
        shutil.copytree(run / name, again / name)
    shutil.copy(run / "tokenizer.json", again)
    shutil.rmtree(again / "student")
    distill.run(write_recipe(tmp_path), again, stage="student")
    old, new = weights(run / "student"), weights(again / "student")
    assert all(torch.equal(old[name], new[name]) for name in old if name.startswith("model."))


def test_resuming_a_finished_run_changes_no_weight(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    distill.run(write_recipe(tmp_path), copy, resume=True, stage="qat")
    old, new = weights(run / "checkpoint"), weights(copy / "checkpoint")
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_without_a_teacher_the_float_student_teaches(run, tmp_path):
    path = write_recipe(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.index("[teacher]")] + text[text.index("[student]") :])
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("corpus", "student"):
        shutil.copytree(run / name, folder / name)
    shutil.copy(run / "tokenizer.json", folder)
    distill.run(path, folder, stage="qat")
    assert (folder / "checkpoint").is_dir()
    assert not (folder / "teacher").exists()
    with pytest.raises(UsageError, match=r"tiny: the recipe has no \[teacher\], so there is no such stage"):
        distill.run(path, folder, stage="teacher")


def test_a_used_folder_is_not_overwritten(run, tmp_path):
    with pytest.raises(
        UsageError, match=r"stage corpus was already begun there: resume it, or take another folder"
    ):
        distill.run(write_recipe(tmp_path), run)


def test_unknown_stage(tmp_path):
    with pytest.raises(
        UsageError,
        match=r"stage 'bake' does not exist: choose from corpus, teacher, student, prune, qat, evaluate, export",
    ):
        distill.run(write_recipe(tmp_path), tmp_path / "run", stage="bake")


def test_a_stage_needs_the_one_before(tmp_path):
    with pytest.raises(
        TrainingError,
        match=r"stage teacher needs stage corpus, which has not run there: run --stage corpus first",
    ):
        distill.run(write_recipe(tmp_path), tmp_path / "run", stage="teacher")


def test_a_stage_needs_a_finished_one(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    recipe = write_recipe(tmp_path)
    recipe.write_text(
        recipe.read_text().replace("[student_plan]\ntokens = 24000", "[student_plan]\ntokens = 90000")
    )
    with pytest.raises(
        TrainingError,
        match=r"qat needs stage student, which has seen 24,\d+ of 90,000 tokens: run --stage student first, with --resume",
    ):
        distill.run(recipe, copy, resume=True, stage="qat")
    shutil.rmtree(copy / "checkpoint")
    with pytest.raises(
        TrainingError, match=r"export needs stage qat, which was stopped before its last checkpoint"
    ):
        distill.run(write_recipe(tmp_path), copy, stage="export")


def test_the_stages_up_to_one(run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copytree(run / "corpus", folder / "corpus")
    shutil.copy(run / "tokenizer.json", folder)
    distill.run(write_recipe(tmp_path), folder, resume=True, until="teacher")
    assert (folder / "teacher").is_dir()
    assert not (folder / "student").exists()
    assert all(
        torch.equal(value, weights(run / "teacher")[name])
        for name, value in weights(folder / "teacher").items()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": "bake"}, "stage 'bake' does not exist: choose from corpus, teacher"),
        ({"stage": "qat", "until": "qat"}, "stage 'qat' and until 'qat' exclude each other: give one"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"device": "tpu"}, "device 'tpu' does not exist: choose from cpu, cuda"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        distill.run(write_recipe(tmp_path), tmp_path / "run", **options)


def test_the_command_line(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    start = ["distill", str(write_recipe(tmp_path)), "-o"]
    assert main([*start, str(tmp_path / "none"), "--stage", "student"]) == 2
    assert "stage student needs stage corpus" in capsys.readouterr().err
    assert main([*start, str(run), "--resume", "--device", "cuda"]) == 2
    assert "sees 0 CUDA devices here: use --device cpu" in capsys.readouterr().err
    assert main([*start, str(run), "--resume", "--until", "student", "--threads", "1"]) == 0


def test_a_float_checkpoint_is_not_a_quantised_one(run):
    with pytest.raises(TrainingError, match=r"student: not a quantised checkpoint"):
        distill.load_quantised(run / "student")


def test_a_checkpoint_of_another_shape(run):
    recipe = distill.config.load(write_recipe(run.parent))
    with pytest.raises(TrainingError, match=r"does not fit the recipe's architecture"):
        distill.load_float(run / "student", recipe.teacher)
