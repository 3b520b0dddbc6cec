"""One stage: it learns, it resumes to the very same weights, it stops at a loss that is not finite."""

import dataclasses
import random

import pytest
import torch
from shapes import TINY
from torch.nn import functional

from edgellm.errors import TrainingError
from edgellm.train import loop
from edgellm.train.config import Plan
from edgellm.train.loop import Stage, distillation, make_optimizers, validation_loss
from edgellm.train.model import Decoder

pytestmark = pytest.mark.train
torch.set_num_threads(1)

PLAN = Plan(tokens=6000, batch_tokens=256, distil=0.5, distil_from=0.3, temperature=2.0)


def lines(count, seed):
    """Answers that repeat the prompt: something to learn."""
    rng = random.Random(seed)
    words = [[rng.randint(4, 39) for _ in range(rng.randint(2, 5))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


TRAIN, VALID = lines(200, 1), lines(40, 2)


def stage(folder, plan=PLAN, teacher=True):
    torch.manual_seed(3)
    other = Decoder(TINY).requires_grad_(False) if teacher else None
    return Stage("student", Decoder(TINY), TINY, plan, folder / "student", 7, other)


def weights(some_stage):
    return {name: value.clone() for name, value in some_stage.model.state_dict().items()}


def test_it_learns_and_logs(tmp_path):
    trained = stage(tmp_path, dataclasses.replace(PLAN, tokens=16_000, distil=0.0), teacher=False)
    before = validation_loss(trained.model, VALID)
    state = trained.run(TRAIN, VALID, resume=False)
    assert validation_loss(trained.model, VALID) < 0.9 * before
    assert state.tokens >= 16_000
    assert state.epoch > 1
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert header == "stage,step,tokens,loss,valid_loss"
    assert rows[-1].startswith(f"student,{state.step},")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Weights of a run that nobody disturbed, saving nothing but its end."""
    whole = stage(tmp_path_factory.mktemp("whole"))
    whole.run(TRAIN, VALID, resume=False)
    return weights(whole)


@pytest.mark.parametrize("killed_after", [3, 11])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, monkeypatch, reference, killed_after):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    first = stage(tmp_path)
    step = first._step

    def dying(batch):
        if first.state.step == killed_after:
            raise KeyboardInterrupt
        step(batch)

    monkeypatch.setattr(first, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        first.run(TRAIN, VALID, resume=False)
    second = stage(tmp_path)
    assert second.run(TRAIN, VALID, resume=True).step > killed_after
    assert all(torch.equal(reference[name], value) for name, value in weights(second).items())


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


def test_teacher_is_asked_only_after_its_share(tmp_path):
    asked = []

    def teacher(ids):
        asked.append(some.state.tokens)
        return torch.zeros(*ids.shape, TINY.vocab)

    some = stage(tmp_path)
    some.teacher = teacher
    some.run(TRAIN, VALID, resume=False)
    assert min(asked) >= 0.3 * PLAN.tokens


def test_distillation_is_zero_for_the_teacher_itself():
    logits = torch.randn(2, 5, 9)
    weight = torch.rand(2, 5)
    assert float(distillation(logits, logits, weight, 2.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation(logits, logits.flip(-1), weight, 1.0)) > 0.1


def test_distillation_is_the_weighted_divergence():
    a, b = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    expected = functional.kl_div(a[0, 1].log_softmax(-1), b[0, 1].softmax(-1), reduction="sum")
    assert float(distillation(a, b, torch.tensor([[0.0, 3.0]]), 1.0)) == pytest.approx(
        float(expected), abs=1e-5
    )


def test_optimizers_share_the_parameters_between_them():
    model = Decoder(TINY)
    muon, adam = make_optimizers(model, TINY, PLAN)
    held = [len(optimizer.param_groups[0]["params"]) for optimizer in (muon, adam)]
    assert held == [4 * TINY.layers, 1]
