"""The quantised decoder: grids, widths, and agreement with the golden integer model, tensor by tensor."""

import math

import numpy as np
import pytest
import torch
from brevitas.nn import QuantIdentity
from shapes import TINY
from tiny_run import finished_run

from edgellm.data import corpus
from edgellm.data import tokenizer as bpe
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.train import calibrate
from edgellm.train.bits import Bits
from edgellm.train.distill import load_quantised
from edgellm.train.model import Decoder
from edgellm.train.quant import QuantDecoder
from edgellm.train.quantisers import MULT_MAX, NUDGE, GridScaling, fixed

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run():
    return finished_run()


@pytest.fixture(scope="module")
def quantised(run):
    return load_quantised(run / "checkpoint")[0]


@pytest.fixture(scope="module")
def lines(run):
    rows = corpus.read_split(run / "corpus", "valid")
    return bpe.encode_rows(bpe.load_tokenizer(run / "tokenizer.json"), rows)


def test_scales_are_whole_multiples_of_the_unit():
    unit = torch.tensor([1e-4, 2e-4, 1e-4, 1.0], dtype=torch.float64)
    weight = torch.tensor([[0.1, -0.07], [0.002, 0.0141], [0.9, 0.1], [0.5, -0.5]], requires_grad=True)
    scale = GridScaling(unit, 4)(weight, torch.tensor(7.0))
    mult = scale.flatten() / unit.float()
    assert torch.allclose(mult, torch.tensor([143.0, 10.0, MULT_MAX, 1.0]), rtol=1e-5)
    scale.sum().backward()
    assert weight.grad[0].tolist() == pytest.approx([1 / 7, 0.0])  # straight through to the largest weight


def test_rounding_is_half_up_and_saturates():
    quantiser = fixed(0.25).eval()
    x = torch.tensor([0.125, -0.125, 0.375, 0.12, 31.75, 99.0, -32.0, -99.0])
    assert (quantiser(x) / 0.25).tolist() == [1, 0, 2, 0, 127, 127, -128, -128]


def test_training_sees_the_values_and_gradients_that_brevitas_exports():
    quantiser = fixed(0.3)
    x = torch.randn(4000, generator=torch.Generator().manual_seed(0)).mul(30).requires_grad_()
    nudged = x.detach().add(0.3 * NUDGE).requires_grad_()
    ours, theirs = quantiser(x), QuantIdentity.forward(quantiser, nudged)
    torch.testing.assert_close(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(x.grad, nudged.grad)


def test_weights_are_narrow_four_bit_integers(quantised):
    for block in quantised.blocks:
        for layer in (block.qkv, block.attn_out, block.gate_up, block.down):
            whole = layer.quant_weight().value / layer.quant_weight().scale
            assert torch.allclose(whole, whole.round(), atol=1e-3)
            assert whole.abs().max() <= 7.001


def test_head_and_embedding_share_their_float_weight(quantised):
    assert quantised.head.weight is quantised.embedding.weight


def test_loading_a_float_model_copies_every_weight(quantised):
    torch.manual_seed(1)
    model = Decoder(quantised.arch)
    other = QuantDecoder(quantised.arch, quantised.scheme, Bits())
    other.load_float(model)
    own = dict(other.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in model.named_parameters())


def test_steps_with_cache_equal_the_whole(quantised, lines):
    ids = torch.tensor([lines[0][0][:12]])
    with torch.no_grad():
        whole = quantised(ids)
        logits, caches = quantised.step(ids[:, :3], [None] * quantised.arch.layers)
        parts = [logits]
        for t in range(3, ids.shape[1]):
            logits, caches = quantised.step(ids[:, t : t + 1], caches)
            parts.append(logits)
    # sums in another order may move a value that lies on a rounding edge to the next integer
    difference = (torch.cat(parts, 1) - whole).abs()
    assert difference[:, :3].max() <= 2 * quantised.scheme.logits
    assert difference.mean() < 0.005 * whole.abs().max()


def test_the_integer_model_differs_by_float_rounding_alone(run, quantised, lines):
    golden = GoldenModel(onnxfile.load(run / "model" / "model.onnx"))
    same = total = 0
    for ids, _ in lines[:10]:
        cache = golden.new_cache()
        whole = np.array([golden.step(cache, token, position) for position, token in enumerate(ids)])
        with torch.no_grad():
            trained = quantised(torch.tensor([ids]))[0].numpy() / quantised.scheme.logits
        assert np.abs(whole - trained).mean() < 0.01 * np.abs(whole).max()
        same += int((whole.argmax(1) == trained.argmax(1)).sum())
        total += len(ids)
    assert same >= 0.98 * total


def test_gradients_reach_every_weight(run, quantised, lines):
    model = QuantDecoder(quantised.arch, quantised.scheme, Bits())
    model.load_state_dict(quantised.state_dict())
    model(torch.tensor([lines[0][0]])).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_chosen_scales_hold_the_ranges_seen():
    torch.manual_seed(2)
    model = Decoder(TINY)
    lines = [(torch.randint(0, TINY.vocab, (length,)).tolist(), 3) for length in (9, 9, 14)]
    scheme = calibrate.choose(model, lines)
    seen = calibrate.observe(model, lines)
    assert max(seen.over_layers("residual", 1.0)) < 32767 * scheme.residual
    assert seen.top("embedding", 0, 1.0) <= 127.01 * scheme.embedding
    assert seen.top("logits", 0, 1.0) < 32767 * scheme.logits
    assert scheme.norm(TINY.width) == math.sqrt(TINY.width) * 2.0 ** (scheme.norm_shift - 24)
    exponent = 24 * scheme.q * scheme.k / math.sqrt(TINY.head_dim)
    assert scheme.score_mult / 2**scheme.score_shift == pytest.approx(exponent, rel=0.05)
