"""Narrow activations, caches, embeddings and weights: what each operation does with them, and which file holds them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import SMALL, TINY

from edgellm.numerics import layout, ops
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.layout import Scaling
from edgellm.numerics.model import Widths
from edgellm.numerics.random import extreme_model, random_model
from edgellm.numerics.validate import validate

NARROW = Widths(activation=4, kv=4, embedding=4, glu=4)
INT8 = st.integers(-128, 127)


def seen_by(model, tokens):
    golden, seen = GoldenModel(model), {}
    cache = golden.new_cache()
    for position, token in enumerate(tokens):
        golden.step(
            cache, token, position, lambda name, layer, x: seen.setdefault(name, []).append(x.astype(int))
        )
    return {name: np.concatenate([x.reshape(-1) for x in parts]) for name, parts in seen.items()}, cache


@given(st.lists(INT8, min_size=1, max_size=8))
def test_narrowing_rounds_halves_up_and_saturates(values):
    x = np.array(values, np.int8)
    want = [min(7, (int(v) + 8) // 16) for v in values]
    assert ops.narrow(x, 4).tolist() == want
    assert ops.narrow(x, 8).tolist() == values


def test_norm_and_gate_saturate_at_their_width():
    residual = np.array([3000, -3000, 1500, 40], np.int16)
    byte, narrow = ops.rms_norm(residual, 17), ops.rms_norm(residual, 17, 4)
    assert np.abs(byte).max() > 8
    assert narrow.tolist() == np.clip(byte, -8, 7).tolist()
    table = np.arange(-128, 128).astype(np.int8)
    gate_up = np.array([100, -100, 9, 90, 90, 9], np.int8)
    assert ops.silu_gate(gate_up, table, 4, 4).tolist() == [7, -8, 5]


def test_keys_and_values_are_narrowed_and_queries_are_not():
    qkv = np.array([100, -60, 100, -60, 100, -60], np.int8)  # a q, a k and a v head of two channels
    one, none = np.array([8192]), np.array([0])
    assert ops.rope_qkv(qkv, 2, 2, one, none, 4).tolist() == [100, -60, 6, -4, 6, -4]
    assert ops.rope_qkv(qkv, 2, 2, one, none).tolist() == qkv.tolist()


@given(st.lists(INT8, min_size=2, max_size=2), st.integers(-8192, 8192), st.integers(-8192, 8192))
def test_narrow_keys_are_rounded_once(pair, cos, sin):
    e, o = pair
    got = ops.rope(np.array(pair, np.int8), np.array([cos]), np.array([sin]), 4)
    want = [(e * cos - o * sin + (1 << 16)) >> 17, (e * sin + o * cos + (1 << 16)) >> 17]
    assert got.tolist() == np.clip(want, -8, 7).tolist()


def test_a_mean_of_narrow_values_keeps_its_fractions():
    weights, values = np.array([255, 255], np.uint8), np.array([[3, -8], [2, -8]], np.int8)
    narrow = Widths(activation=8, kv=4)
    assert ops.weighted_mean(weights, values, narrow).tolist() == [40, -128]  # 2.5 and -8 in sixteenths
    assert ops.weighted_mean(weights, values, NARROW).tolist() == [2, -8]  # a truncated R: just below 2.5


def test_a_mean_of_bytes_saturates_at_four_bits():
    weights, values = np.array([255], np.uint8), np.array([[127, -128, 119, 120]], np.int8)
    assert ops.weighted_mean(weights, values, Widths(activation=4)).tolist() == [7, -8, 7, 7]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "widths", [NARROW, Widths(activation=4), Widths(kv=4), Widths(embedding=2), Widths(glu=4)]
)
def test_every_tensor_keeps_its_width(name, widths):
    model = random_model(SMALL[name], 3, widths=widths)
    tokens = np.random.default_rng(0).integers(model.arch.vocab, size=8).tolist()
    seen, cache = seen_by(model, tokens)
    for tap in ("attn_norm", "attention", "ffn_norm", "glu", "final_norm"):
        bits = widths.glu if tap == "glu" else widths.activation
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        assert low <= seen[tap].min() < 0, tap
        assert 0 < seen[tap].max() <= high, tap
    for kept in (cache.keys, cache.values):
        assert kept.min() >= -(1 << (widths.kv - 1))
        assert kept.max() <= (1 << (widths.kv - 1)) - 1
        assert len(np.unique(kept)) > 6


@pytest.mark.parametrize("variant", ["high", "low", "mixed"])
@pytest.mark.parametrize("widths", [NARROW, Widths(kv=4), Widths(activation=4)])
def test_extremes_stay_within_the_bounds(widths, variant):
    model = extreme_model(TINY, 1, variant, 8, widths)
    seen, _ = seen_by(model, [0, 1, 2])
    for tap in ("attn_norm", "attention", "ffn_norm", "glu"):
        assert np.abs(seen[tap]).max() <= 1 << ((widths.glu if tap == "glu" else widths.activation) - 1)


def test_layers_may_have_weights_of_their_own_width():
    model = random_model(TINY, 0, weight_bits=lambda kind, layer: 2 + 3 * layer)
    assert [block.qkv.weight_bits for block in model.blocks] == [2, 5]
    validate(model)


def test_the_version_is_the_oldest_that_has_what_is_needed():
    one = {"qkv": Scaling(5, (4, 4)), "head": Scaling(3, (8,))}
    assert layout.version(one, Widths()) == 1
    assert layout.version(one, Widths(kv=4)) == 2
    assert layout.version(one | {"qkv": Scaling(5, (4, 3))}, Widths()) == 2


def test_eight_bits_are_what_version_1_had():
    model = random_model(TINY, 1)
    assert model.widths == Widths(8, 8, 8, 8)
    assert replace(model, widths=Widths()) == model
