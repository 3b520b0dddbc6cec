"""The float decoder: rotation, causality, cached steps, parameter count."""

import math

import pytest
import torch
from shapes import HOME, SHARED_KV, TINY

from edgellm.numerics import tables
from edgellm.train.model import Decoder, parameter_count, rms_norm, rope_tables, rotate, sections

pytestmark = pytest.mark.train
torch.set_num_threads(1)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Decoder(SHARED_KV).eval()


def ids(count, seed=0):
    return torch.randint(0, SHARED_KV.vocab, (2, count), generator=torch.Generator().manual_seed(seed))


def test_rotation_keeps_lengths_and_depends_on_distance_only():
    cos, sin = rope_tables(32, 8)
    q, k = torch.randn(8), torch.randn(8)
    turned = [rotate(x.expand(32, 8), cos, sin) for x in (q, k)]
    assert torch.allclose(turned[0].norm(dim=-1), q.norm().expand(32), atol=1e-5)
    scores = turned[0] @ turned[1].T
    assert torch.allclose(
        scores.diagonal(5), scores[5 + 5, 5].new_full((27,), float(scores[0, 5])), atol=1e-4
    )


def test_rotation_equals_the_integer_tables():
    cos, sin = rope_tables(HOME.context, HOME.head_dim)
    whole = tables.rope_tables(HOME.context, HOME.head_dim)
    for float_table, integer_table in zip((cos, sin), whole, strict=True):
        assert (float_table * 8192 - torch.tensor(integer_table)).abs().max() <= 0.501


def test_norm_has_unit_mean_square():
    assert torch.allclose(rms_norm(torch.randn(5, 64) * 7).square().mean(-1), torch.ones(5), atol=1e-4)


def test_later_tokens_change_nothing_before(model):
    a = ids(10)
    b = a.clone()
    b[:, 7:] = (b[:, 7:] + 1) % SHARED_KV.vocab
    with torch.no_grad():
        assert torch.equal(model(a)[:, :7], model(b)[:, :7])
        assert not torch.equal(model(a)[:, 7:], model(b)[:, 7:])


def test_steps_with_cache_equal_the_whole(model):
    tokens = ids(9)
    with torch.no_grad():
        whole = model(tokens)
        logits, caches = model.step(tokens[:, :4], [None] * SHARED_KV.layers)
        parts = [logits]
        for t in range(4, 9):
            logits, caches = model.step(tokens[:, t : t + 1], caches)
            parts.append(logits)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


@pytest.mark.parametrize("arch", [HOME, TINY, SHARED_KV])
def test_parameters_are_counted(arch):
    model = Decoder(arch)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(arch)
    fused = sections(arch)
    assert sum(fused.qkv) == arch.qkv_width
    assert sum(fused.gate_up) == 2 * arch.ffn


def test_first_loss_is_that_of_a_guess(model):
    tokens = ids(20)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    assert abs(float(loss) - math.log(SHARED_KV.vocab)) < 0.3
