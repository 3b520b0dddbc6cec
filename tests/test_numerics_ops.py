"""Every operation against the formula of docs/numerics.md in Python's unbounded integers."""

from fractions import Fraction
from math import floor, isqrt, sqrt

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from edgellm.numerics import ops
from edgellm.numerics.tables import exp_table

INT8 = st.integers(-128, 127)
INT16 = st.integers(-32768, 32767)
EXP = [int(e) for e in exp_table()]


def clip(x, bits):
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, x))


def vectors(elements, low=1, high=12):
    return st.lists(elements, min_size=low, max_size=high)


def matrices(elements, rows, columns):
    return st.lists(st.lists(elements, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


@given(st.integers(0, 5), st.integers(0, 8), matrices(INT8, 6, 3))
def test_embed(token, shift, table):
    got = ops.embed(np.array(table, np.int8), token, shift)
    assert got.dtype == np.int16
    assert got.tolist() == [clip(value * 2**shift, 16) for value in table[token]]


@given(vectors(INT16, 1, 20), st.integers(1, 20))
@example([0] * 8, 16)
@example([32767] * 20, 1)
@example([-32768, 0, 0], 17)
def test_rms_norm(residual, shift):
    ss = sum(r * r for r in residual)
    n = isqrt(2**48 // ss) if ss else 2**24
    want = [clip((r * n + 2 ** (shift - 1)) // 2**shift, 8) for r in residual]
    got = ops.rms_norm(np.array(residual, np.int16), shift)
    assert got.dtype == np.int8
    assert got.tolist() == want


@given(st.integers(1, 2**44))
@example(1)
@example(4)
@example(2**44)
@example(2**24 - 1)
def test_inverse_root_is_exact_in_double_too(ss):
    n = ops.inverse_root(ss)
    assert n * n * ss <= 2**48 < (n + 1) ** 2 * ss
    assert n == floor(2.0**24 / sqrt(ss))


def test_inverse_root_of_nothing():
    assert ops.inverse_root(0) == 2**24


def test_double_is_exact_where_the_root_is_nearest_to_an_integer():
    for n in [*range(4, 3000), *range(2**24 - 2000, 2**24 + 1)]:
        nearest = 2**48 // (n * n)
        for ss in range(max(1, nearest - 2), min(2**44, nearest + 2) + 1):
            assert floor(2.0**24 / sqrt(ss)) == isqrt(2**48 // ss)


@given(vectors(INT8, 4, 4), matrices(st.integers(-127, 127), 4, 3))
@example([-128] * 4, [[-127] * 3] * 4)
def test_accumulate(x, weight):
    got = ops.accumulate(np.array(x, np.int8), np.array(weight, np.int8))
    assert got.dtype == np.int32
    assert got.tolist() == [sum(a * row[n] for a, row in zip(x, weight, strict=True)) for n in range(3)]


ACC = st.integers(-(2**30), 2**30)
MULT = st.integers(1, 65535)
BIAS = st.integers(-(2**31), 2**31 - 1)


@given(ACC, MULT, BIAS, st.integers(1, 31), INT16)
@example(-1, 1, 0, 1, 0)
@example(2**30, 65535, 2**31 - 1, 1, 32767)
@example(-(2**30), 65535, -(2**31), 1, -32768)
def test_requantise_residual_and_logits(acc, mult, bias, shift, residual):
    scaled = floor(Fraction(acc * mult + bias, 2**shift))
    arrays = np.array([acc], np.int32), np.array([mult], np.int32), np.array([bias], np.int32)
    assert ops.requantise(*arrays, shift).tolist() == [clip(scaled, 8)]
    assert ops.logits(*arrays, shift).tolist() == [clip(scaled, 16)]
    added = ops.add_residual(*arrays, shift, np.array([residual], np.int16))
    assert added.dtype == np.int16
    assert added.tolist() == [clip(scaled + residual, 16)]


Q13 = st.integers(-8192, 8192)


@given(vectors(INT8, 4, 4), vectors(Q13, 2, 2), vectors(Q13, 2, 2))
@example([-128, -128, 127, -128], [8192, -8192], [8192, 8192])
def test_rope(x, cos, sin):
    want = []
    for pair in range(2):
        even, odd = x[2 * pair], x[2 * pair + 1]
        want.append(clip((even * cos[pair] - odd * sin[pair] + 4096) // 8192, 8))
        want.append(clip((even * sin[pair] + odd * cos[pair] + 4096) // 8192, 8))
    got = ops.rope(np.array(x, np.int8), np.array(cos, np.int16), np.array(sin, np.int16))
    assert got.dtype == np.int8
    assert got.tolist() == want


def test_rope_turns_q_and_k_heads_and_leaves_v():
    qkv = np.arange(16, dtype=np.int8)
    quarter_turn = np.zeros(2, np.int16), np.full(2, 8192, np.int16)
    got = ops.rope_qkv(qkv, 3, 4, *quarter_turn)
    assert got.tolist() == [-1, 0, -3, 2, -5, 4, -7, 6, -9, 8, -11, 10, 12, 13, 14, 15]


def plain_attention(q, keys, values, table, mult, shift):
    out = []
    group = len(q) // len(keys)
    for head, query in enumerate(q):
        scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in keys[head // group]]
        weights = [table[min((max(scores) - s) * mult // 2**shift, 255)] for s in scores]
        reciprocal = 2**24 // sum(weights)
        for channel in range(len(query)):
            total = sum(w * v[channel] for w, v in zip(weights, values[head // group], strict=True))
            mean = (total * reciprocal + 2**23) // 2**24
            assert -128 <= mean <= 127
            out.append(mean)
    return out


@given(
    st.data(),
    st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2)]),
    st.integers(1, 6),
    st.integers(1, 65535),
    st.integers(0, 16),
    st.sampled_from([EXP, [255] * 255 + [0]]),
)
def test_attention(data, heads, positions, mult, shift, table):
    q = data.draw(matrices(INT8, heads[0], 4))
    keys = [data.draw(matrices(INT8, positions, 4)) for _ in range(heads[1])]
    values = [data.draw(matrices(INT8, positions, 4)) for _ in range(heads[1])]
    got = ops.attention(
        *(np.array(a, np.int8) for a in (q, keys, values)), np.array(table, np.uint8), mult, shift
    )
    assert got.dtype == np.int8
    assert got.tolist() == plain_attention(q, keys, values, table, mult, shift)


def test_attention_at_its_extremes():
    """The longest sum at the ends of the value range: no overflow, the result is in range and the formula's."""
    flat = np.array([255] * 255 + [0], np.uint8)
    for value in (-128, 127):
        values = np.full((1, 65535, 2), value, np.int8)
        keys = np.full((1, 65535, 2), -128, np.int8)
        got = ops.attention(np.full((1, 2), -128, np.int8), keys, values, flat, 65535, 0)
        total = 255 * 65535
        mean = (value * total * (2**24 // total) + 2**23) // 2**24
        assert got.tolist() == [mean, mean]


def test_softmax_weights_name_the_nearest():
    weights = ops.softmax_weights(np.array([5, 1 << 23, -(1 << 23)]), exp_table(), 65535, 0)
    assert weights.dtype == np.uint8
    assert weights.tolist() == [0, 255, 0]


@given(vectors(INT8, 6, 6), st.binary(min_size=256, max_size=256), st.integers(1, 15))
@example([-128] * 6, b"\x80" * 256, 1)
@example([-128] * 6, b"\x7f" * 256, 15)
def test_silu_gate(gate_up, data, shift):
    table = np.frombuffer(data, np.int8).tolist()
    half = 2 ** (shift - 1)
    want = [
        clip((table[g + 128] * u + half) // 2**shift, 8)
        for g, u in zip(gate_up[:3], gate_up[3:], strict=True)
    ]
    got = ops.silu_gate(np.array(gate_up, np.int8), np.array(table, np.int8), shift)
    assert got.dtype == np.int8
    assert got.tolist() == want


@given(vectors(st.integers(-3, 3), 1, 10))
def test_argmax_takes_the_lowest_index(values):
    assert ops.argmax(np.array(values, np.int16)) == values.index(max(values))
