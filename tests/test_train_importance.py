"""Importance: what does nothing scores zero, what matters scores what the loss says."""

import dataclasses
import random

import pytest
import torch
from shapes import SHARED_KV, TINY

from edgellm.train import importance
from edgellm.train.batches import make_batch
from edgellm.train.losses import answer_loss
from edgellm.train.model import Decoder
from edgellm.train.recorder import validation_loss

pytestmark = pytest.mark.train
torch.set_num_threads(1)


def lines(count, vocab, seed=1):
    rng = random.Random(seed)
    words = [[rng.randint(4, vocab - 1) for _ in range(rng.randint(2, 6))] for _ in range(count)]
    return [([1, *word, 3, *word[::-1], 2], len(word) + 2) for word in words]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder(SHARED_KV)


LINES = lines(20, SHARED_KV.vocab)


def test_shapes_and_the_model_stays_as_it_was(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = importance.measure(model, LINES)
    assert seen.heads.shape == (1, 6)
    assert seen.ffn.shape == (1, 40)
    assert seen.heads.dtype == seen.ffn.dtype == torch.float64
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model(torch.tensor([[1, 2, 3]])), model(torch.tensor([[1, 2, 3]])))


def test_dead_units_score_zero(model):
    with torch.no_grad():
        model.block(0).down.weight[:, [3, 17]] = 0  # nobody reads them
        model.block(0).gate_up.weight[5] = 0  # its gate is shut
        model.block(0).attn_out.weight[:, 8:12] = 0  # head 2
    seen = importance.measure(model, LINES)
    assert (seen.ffn[0] == 0).nonzero().flatten().tolist() == [3, 5, 17]
    assert (seen.heads[0] == 0).nonzero().flatten().tolist() == [2]


def with_factor(model, line, place, factor):
    """Summed answer loss of a line, softened, when an FFN channel is multiplied at one token."""
    batch = make_batch([line], 0.0)

    def scale(module, inputs):
        inputs[0][0, place[0], place[1]] *= factor

    handle = model.block(0).down.register_forward_pre_hook(scale)
    with torch.no_grad():
        logits = model(batch.ids[:, :-1]) / importance.SOFT
    handle.remove()
    return importance.SOFT * float(answer_loss(logits, batch, torch.tensor(1.0, dtype=torch.float64)))


def test_it_is_the_mean_square_of_what_a_small_factor_at_a_token_changes():
    torch.manual_seed(0)
    model = Decoder(SHARED_KV).double()
    some, small = LINES[:3], 1e-4
    answers = sum(len(ids) - prompt for ids, prompt in some)
    for channel in (0, 11):
        squares = 0.0
        for line in some:
            for token in range(len(line[0]) - 1):
                above, below = (
                    with_factor(model, line, (token, channel), 1 + sign * small) for sign in (1, -1)
                )
                squares += ((above - below) / (2 * small)) ** 2
        assert float(in_double(model, some).ffn[0, channel]) == pytest.approx(squares / answers, rel=1e-3)


def in_double(model, some):
    torch.set_default_dtype(torch.float64)
    try:
        return importance.measure(model, some)
    finally:
        torch.set_default_dtype(torch.float32)


def test_only_answers_count_unless_asked(model):
    (ids, prompt), *_ = LINES
    asked = importance.measure(model, [(ids, prompt)], 1.0)
    answers = importance.measure(model, [(ids, prompt)])
    assert not torch.allclose(asked.ffn, answers.ffn, rtol=0.05)
    assert torch.allclose(asked.ffn, importance.measure(model, [(ids, 1)]).ffn)


def test_a_line_counts_the_same_in_any_batch(model, monkeypatch):
    together = importance.measure(model, LINES)
    monkeypatch.setattr(importance, "BATCH_TOKENS", 1)
    alone = importance.measure(model, LINES)
    assert torch.allclose(together.ffn, alone.ffn, rtol=1e-4)
    assert torch.allclose(together.heads, alone.heads, rtol=1e-4)


def test_layers_by_what_skipping_them_costs():
    torch.manual_seed(0)
    model, some = Decoder(dataclasses.replace(TINY, layers=3)), lines(20, TINY.vocab)
    with torch.no_grad():
        for weight in (model.block(1).attn_out.weight, model.block(1).down.weight):
            weight.zero_()
    costs = importance.layers(model, some)
    assert float(costs[1]) == 0.0
    whole = loss_of(model, [0, 1, 2], some)
    assert float(costs[0]) == pytest.approx(loss_of(model, [1, 2], some) - whole, abs=1e-6)
    assert float(costs[2]) == pytest.approx(loss_of(model, [0, 1], some) - whole, abs=1e-6)
    assert costs[0] != costs[2]
    assert loss_of(model, [0, 1, 2], some) == whole  # nothing is left behind in the model


def loss_of(model, kept, some):
    shorter = Decoder(dataclasses.replace(model.arch, layers=len(kept)))
    shorter.embedding.load_state_dict(model.embedding.state_dict())
    for place, layer in enumerate(kept):
        shorter.block(place).load_state_dict(model.block(layer).state_dict())
    return validation_loss(shorter, some)
