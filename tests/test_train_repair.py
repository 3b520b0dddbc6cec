"""What stays takes over: exactly where it can, as least squares where it cannot, and not at all where nothing was lost."""

import random

import pytest
import torch
from shapes import SHARED_KV, TINY

from edgellm.train import importance, prune, repair
from edgellm.train.model import Decoder
from edgellm.train.prune import Kept

pytestmark = pytest.mark.train
torch.set_num_threads(1)


def lines(count, longest=6):
    rng = random.Random(3)
    words = [[rng.randint(4, 39) for _ in range(rng.randint(2, longest))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


LINES = lines(30)
IDS = torch.tensor([[1, 9, 4, 30, 2, 17, 8]])


@pytest.fixture
def model():
    torch.manual_seed(4)
    return Decoder(TINY)


def inputs_of(layer, model):
    """Every input [tokens, width] of a linear layer, from lines that go through one by one."""
    seen = []
    handle = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0].double()))
    with torch.no_grad():
        for ids, _ in LINES:
            model(torch.tensor([ids[:-1]]))
    handle.remove()
    return torch.cat(seen)


def test_moments_are_sums_over_all_tokens_and_no_padding(model):
    for layer, seen in enumerate(repair.moments(model, LINES)):
        for name in ("attn_out", "down"):
            x = inputs_of(getattr(model.block(layer), name), model)
            assert torch.allclose(getattr(seen, name), x.T @ x, rtol=1e-4, atol=1e-5)


def test_nothing_lost_nothing_changed():
    weight, moment = torch.randn(5, 8), torch.randn(8, 8, dtype=torch.float64)
    weight[:, [2, 6]] = 0
    kept = torch.tensor([0, 1, 3, 4, 5, 7])
    assert torch.equal(repair.taken_over(weight, kept, moment @ moment.T), weight[:, kept])


def test_inputs_that_are_always_zero():
    weight = torch.randn(3, 4)
    kept = torch.tensor([1, 2])
    assert torch.equal(repair.taken_over(weight, kept, torch.zeros(4, 4).double()), weight[:, kept])


def test_it_is_the_least_squares_solution():
    torch.manual_seed(0)
    x = torch.randn(400, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    weight, kept = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 3, 4])
    best = torch.linalg.lstsq(x[:, kept], x @ weight.T).solution.T
    assert torch.allclose(repair.taken_over(weight, kept, x.T @ x), best, rtol=0.05, atol=0.02)


def test_a_twin_channel_takes_over_the_other_one(model):
    with torch.no_grad():
        model.block(1).gate_up.weight[[7, 31]] = model.block(1).gate_up.weight[[3, 27]]
    heads, every = torch.arange(2), torch.arange(24)
    kept = [Kept(heads, heads[:1], every), Kept(heads, heads[:1], every[every != 7])]
    kept[0] = Kept(heads, heads[:1], every[every != 5])  # the same number goes everywhere
    with torch.no_grad():
        model.block(0).down.weight[:, 5] = 0
    smaller = prune.cut(model, kept)
    with torch.no_grad():
        whole, torn = model(IDS), smaller(IDS)
        prune.make_up(smaller, model, kept, LINES)
        made_up = smaller(IDS)
    assert (torn - whole).abs().max() > 20 * (made_up - whole).abs().max()
    both = model.block(1).down.weight[:, 3] + model.block(1).down.weight[:, 7]
    assert torch.allclose(smaller.block(1).down.weight[:, 3], both, atol=0.05)


def test_outputs_stay_closer_than_without():
    torch.manual_seed(1)
    model = Decoder(SHARED_KV)
    x = inputs_of(model.block(0).down, model)
    kept = torch.arange(0, 40, 2)
    weight = model.block(0).down.weight.detach()
    (seen,) = repair.moments(model, LINES)
    new = repair.taken_over(weight, kept, seen.down).double()
    wanted = x @ weight.double().T
    assert (x[:, kept] @ new.T - wanted).norm() < 0.9 * (
        x[:, kept] @ weight[:, kept].double().T - wanted
    ).norm()


def test_shrink_makes_up(model, monkeypatch):
    goal = prune.dataclasses.replace(TINY, ffn=12)
    made_up = prune.shrink(model, goal, LINES)
    kept = prune.choose(importance.measure(model, LINES), TINY, goal)
    only_cut = prune.cut(model, kept)
    assert not torch.equal(made_up.block(0).down.weight, only_cut.block(0).down.weight)
    assert torch.equal(made_up.block(0).gate_up.weight, only_cut.block(0).gate_up.weight)
