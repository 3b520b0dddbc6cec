"""One stage: it learns, it resumes to the very same weights, it stops at a loss that is not finite."""

import dataclasses
import errno
import random

import pytest
import torch
from shapes import TINY

from edgellm import files
from edgellm.errors import TrainingError
from edgellm.train import checkpoint, logs, recorder
from edgellm.train.config import Plan, Saving
from edgellm.train.loop import Common, Stage, make_optimizers
from edgellm.train.model import Decoder
from edgellm.train.recorder import validation_loss

pytestmark = pytest.mark.train
torch.set_num_threads(1)

PLAN = Plan(tokens=6000, batch_tokens=256, distil=0.5, distil_from=0.3, temperature=2.0)
OFTEN = Saving(seconds=0.0, log_steps=2, valid_steps=5)


def lines(count, seed):
    """Answers that repeat the prompt: something to learn."""
    rng = random.Random(seed)
    words = [[rng.randint(4, 39) for _ in range(rng.randint(2, 5))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


TRAIN, VALID = lines(200, 1), lines(40, 2)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(recorder.curves, "draw", lambda folder: None)


def stage(folder, plan=PLAN, teacher=True, saving=OFTEN):
    torch.manual_seed(3)
    other = Decoder(TINY).requires_grad_(False) if teacher else None
    return Stage("student", Decoder(TINY), TINY, plan, Common(folder, 7, saving), other)


def weights(some_stage):
    return {name: value.clone() for name, value in some_stage.model.state_dict().items()}


def kill_at(some_stage, step, monkeypatch):
    """The stage's process is interrupted before that step."""
    whole = some_stage._step

    def dying(batch):
        if some_stage.state.step == step:
            raise KeyboardInterrupt
        return whole(batch)

    monkeypatch.setattr(some_stage, "_step", dying)


def test_it_learns_and_logs(tmp_path):
    plan = dataclasses.replace(PLAN, tokens=16_000, distil=0.0)
    trained = stage(tmp_path, plan, teacher=False, saving=Saving())
    before = validation_loss(trained.model, VALID)
    state = trained.run(TRAIN, VALID, resume=False)
    assert validation_loss(trained.model, VALID) < 0.9 * before
    assert state.tokens >= 16_000
    assert state.epoch > 1
    *_, last = logs.read(tmp_path)
    assert (last["stage"], last["step"], last["tokens"]) == ("student", str(state.step), str(state.tokens))
    assert float(last["valid_loss"]) == pytest.approx(state.valid_loss, abs=1e-5)


def test_rows_and_validation_follow_the_steps(tmp_path):
    stage(tmp_path).run(TRAIN, VALID, resume=False)
    rows = logs.read(tmp_path)
    last = int(rows[-1]["step"])
    assert [int(row["step"]) for row in rows] == [
        s for s in range(1, last + 1) if s % 2 == 0 or s % 5 == 0 or s == last
    ]
    assert {int(row["step"]) for row in rows if row["valid_loss"]} == {*range(5, last + 1, 5), last}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Weights and log of a run that nobody disturbed, saving nothing but its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder.curves, "draw", lambda folder: None)
        folder = tmp_path_factory.mktemp("whole")
        whole = stage(folder, saving=dataclasses.replace(OFTEN, seconds=1e9))
        whole.run(TRAIN, VALID, resume=False)
        return weights(whole), (folder / "log.csv").read_bytes()


@pytest.mark.parametrize(("seconds", "killed_after"), [(0.0, 3), (0.0, 11), (1e9, 4)])
def test_a_killed_run_resumes_to_the_same_weights_and_log(
    tmp_path, monkeypatch, reference, seconds, killed_after
):
    saving = dataclasses.replace(OFTEN, seconds=seconds)
    first = stage(tmp_path, saving=saving)
    kill_at(first, killed_after, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        first.run(TRAIN, VALID, resume=False)
    second = stage(tmp_path, saving=saving)
    assert second.run(TRAIN, VALID, resume=True).step > killed_after
    expected, log = reference
    assert all(torch.equal(expected[name], value) for name, value in weights(second).items())
    assert (tmp_path / "log.csv").read_bytes() == log


def test_lines_logged_beyond_the_checkpoint_are_forgotten(tmp_path, monkeypatch, reference):
    """The disk fills up at step 9: the checkpoint of step 8 stands, the log has gone further."""
    first = stage(tmp_path)
    save = first.save

    def full_disk():
        if first.state.step > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        save()

    monkeypatch.setattr(first, "save", full_disk)
    with pytest.raises(
        TrainingError, match=r"student: the disk takes no more \(No space left on device\); every"
    ):
        first.run(TRAIN, VALID, resume=False)
    assert checkpoint.describe(tmp_path / "student")["state"]["step"] == 8
    second = stage(tmp_path)
    second.run(TRAIN, VALID, resume=True)
    expected, log = reference
    assert all(torch.equal(expected[name], value) for name, value in weights(second).items())
    assert (tmp_path / "log.csv").read_bytes() == log


def test_a_full_disk_in_the_middle_of_a_write_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    first = stage(tmp_path)
    writes = []

    def fsync(handle):
        writes.append(handle)
        if len(writes) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(TrainingError, match=r"make room there, then go on with --resume"):
        first.run(TRAIN, VALID, resume=False)
    kept = checkpoint.describe(tmp_path / "student")["state"]["step"]
    assert 0 < kept == first.state.step - 1


def test_a_finished_stage_is_not_trained_again(tmp_path):
    first = stage(tmp_path)
    steps = first.run(TRAIN, VALID, resume=False).step
    second = stage(tmp_path)
    assert second.run(TRAIN, VALID, resume=True).step == steps
    assert all(
        torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True)
    )


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    good = stage(tmp_path)
    good.run(TRAIN, VALID, resume=False)
    bad = stage(tmp_path, dataclasses.replace(PLAN, tokens=12_000))
    bad._load()
    with torch.no_grad():
        bad.model.embedding.weight[5] = float("nan")
    bad.folder = tmp_path / "none"
    with pytest.raises(
        TrainingError, match=r"stage student: the loss is nan at step \d+; .* lower lr \(0.02\) and resume"
    ):
        bad.run(TRAIN, VALID, resume=False)
    assert not (tmp_path / "none").exists()
    assert all(torch.isfinite(value).all() for value in checkpoint.load(tmp_path / "student")[0].values())


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path):
    some = stage(tmp_path, teacher=False)
    some.model.embedding.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weights(some)
    with pytest.raises(
        TrainingError, match=r"stage student: the gradient's norm is (nan|inf) at step 0; the last"
    ):
        some.run(TRAIN, VALID, resume=False)
    assert all(torch.equal(before[name], value) for name, value in weights(some).items())


def test_teacher_is_asked_only_after_its_share(tmp_path):
    asked = []

    def teacher(ids):
        asked.append(some.state.tokens)
        return torch.zeros(*ids.shape, TINY.vocab)

    some = stage(tmp_path)
    some.teacher = teacher
    some.run(TRAIN, VALID, resume=False)
    assert min(asked) >= 0.3 * PLAN.tokens


def test_optimizers_share_the_parameters_between_them():
    model = Decoder(TINY)
    muon, adam = make_optimizers(model, TINY, PLAN)
    held = [len(optimizer.param_groups[0]["params"]) for optimizer in (muon, adam)]
    assert held == [4 * TINY.layers, 1]


def test_another_architecture_is_refused_by_dimension(tmp_path):
    stage(tmp_path).run(TRAIN, VALID, resume=False)
    wider = dataclasses.replace(TINY, ffn=TINY.ffn + 8)
    other = Stage("student", Decoder(wider), wider, dataclasses.replace(PLAN, distil=0.0), Common(tmp_path))
    with pytest.raises(TrainingError, match=rf"ffn is {TINY.ffn} there and {wider.ffn} in the recipe"):
        other.run(TRAIN, VALID, resume=True)


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ([], VALID, "stage student: there is no training line"),
        (TRAIN, [], "stage student: there is no validation line"),
        (
            [([1] * (TINY.context + 2), 4)],
            VALID,
            f"a training line needs {TINY.context + 1} positions, the context has {TINY.context}: shorten",
        ),
    ],
)
def test_lines_that_cannot_be_trained_on(tmp_path, train, valid, message):
    with pytest.raises(TrainingError, match=message):
        stage(tmp_path).run(train, valid, resume=False)


def test_learning_rate_rises_then_falls(tmp_path):
    some = stage(tmp_path, Plan(tokens=1000, warmup=0.1))
    rates = []
    for some.state.tokens in (0, 50, 100, 500, 1000):
        rates.append(some.rate)
    assert rates == pytest.approx([0.01, 0.475, 0.9, 0.5, 0.01])


def test_the_prompt_weighs_less_and_less(tmp_path):
    run = stage(tmp_path, Plan(tokens=6000, batch_tokens=256, prompt_weight=0.2), teacher=False)
    seen = []
    whole = run._step

    def watching(batch):
        seen.append((run.share, float(batch.weight[batch.weight > 0].min())))
        return whole(batch)

    run._step = watching
    run.run(TRAIN, VALID, resume=False)
    assert seen[0] == (0.0, pytest.approx(0.2))
    assert all(weight == pytest.approx(0.2 * (1 - share)) for share, weight in seen)
