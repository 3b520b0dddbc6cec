"""What a stage minimises."""

import dataclasses

import pytest
import torch
from shapes import TINY
from torch.nn import functional

from edgellm.errors import TrainingError
from edgellm.train import checkpoint
from edgellm.train.batches import Batch
from edgellm.train.config import Plan
from edgellm.train.loop import PROJECTION, Common, Stage
from edgellm.train.losses import HiddenMatch, answer_loss, distillation, layer_map
from edgellm.train.model import Decoder

pytestmark = pytest.mark.train
torch.set_num_threads(1)

WIDE = dataclasses.replace(TINY, width=TINY.width + 8, layers=TINY.layers + 1)


def batch(rows=3, time=6):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, TINY.vocab, (rows, time), generator=generator)
    return Batch(ids, torch.rand(rows, time - 1, generator=generator), ids.numel())


def test_answer_loss_is_the_weighted_mean():
    some = batch()
    logits = torch.randn(3, 5, TINY.vocab)
    each = [
        some.weight[r, t] * functional.cross_entropy(logits[r, t], some.ids[r, t + 1])
        for r in range(3)
        for t in range(5)
    ]
    expected = sum(each) / some.weight.sum()
    assert float(answer_loss(logits, some, some.weight.sum())) == pytest.approx(float(expected), rel=1e-5)


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


def test_teacher_of_another_vocabulary():
    with pytest.raises(TrainingError, match=r"the teacher's vocab is 9, the student's 8"):
        distillation(torch.randn(1, 2, 8), torch.randn(1, 2, 9), torch.ones(1, 2), 1.0)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [(3, 3, [0, 1, 2]), (2, 4, [1, 3]), (4, 2, [0, 0, 1, 1]), (1, 5, [4]), (5, 1, [0] * 5)],
)
def test_layers_are_spread_evenly_and_end_together(student, teacher, expected):
    assert layer_map(student, teacher) == expected


def matched(student, teacher, some):
    match = HiddenMatch(student, teacher, seed=1)
    student(some.ids[:, :-1])
    with torch.no_grad():
        teacher(some.ids[:, :-1])
    return match, match(some.weight, some.weight.sum())


def test_equal_models_match_through_the_identity():
    torch.manual_seed(2)
    student, some = Decoder(TINY), batch()
    teacher = Decoder(TINY)
    teacher.load_state_dict(student.state_dict())
    match, first = matched(student, teacher, some)
    assert float(first.detach()) > 0.1
    with torch.no_grad():
        match.projection.copy_(torch.eye(TINY.width))
        student(some.ids[:, :-1])
        teacher(some.ids[:, :-1])
        assert float(match(some.weight, some.weight.sum())) == pytest.approx(0.0, abs=1e-9)


def test_hidden_states_are_weighted_as_tokens_are():
    """All weight on row 0 is the match of row 0 alone."""
    student, teacher, some = Decoder(TINY), Decoder(WIDE), batch()
    first = Batch(some.ids[:1], torch.ones(1, 5), some.tokens)
    match, alone = matched(student, teacher, first)
    weight = torch.zeros(3, 5)
    weight[0] = 2.0
    student(some.ids[:, :-1])
    teacher(some.ids[:, :-1])
    assert float(match(weight, weight.sum()).detach()) == pytest.approx(float(alone.detach()), rel=1e-5)


def test_gradients_reach_student_and_projection_but_not_the_teacher():
    student, teacher = Decoder(TINY), Decoder(WIDE)
    match, loss = matched(student, teacher, batch())
    loss.backward()
    assert match.projection.shape == (WIDE.width, TINY.width)
    assert float(match.projection.grad.abs().sum()) > 0
    assert float(student.block(0).qkv.weight.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_without_blocks_is_refused():
    with pytest.raises(TrainingError, match=r"hidden states can be matched only with .*: set hidden = 0"):
        HiddenMatch(Decoder(TINY), lambda ids: ids, 1)


def test_the_projection_is_kept_in_the_checkpoint_and_not_in_the_model(tmp_path):
    torch.manual_seed(3)
    plan = Plan(tokens=100, hidden=0.1)
    stage = Stage("student", Decoder(TINY), TINY, plan, Common(tmp_path), Decoder(WIDE).requires_grad_(False))
    before = stage.hidden.projection.detach().clone()
    stage._step(batch())
    assert not torch.equal(before, stage.hidden.projection)
    stage.save()
    tensors, _ = checkpoint.load(tmp_path / "student")
    assert torch.equal(tensors[PROJECTION], stage.hidden.projection)
    assert set(checkpoint.model_tensors(tensors)) == set(Decoder(TINY).state_dict())
