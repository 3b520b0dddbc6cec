"""Every operation of the integer contract, one function each, in plain int64 NumPy.

Source: docs/numerics.md, "Operations". Functions work on the last axis, so a leading batch axis is allowed
everywhere but in `attention`, which sees one query token of one layer. Inputs of any integer type are
widened to int64, in which no intermediate of a valid model can overflow (docs/numerics.md, "Bounds").
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.model import Int, Widths

Int64 = NDArray[np.int64]

NORM_BITS = 24  # n = floor(2^24 / sqrt(ss))
ROPE_BITS = 13  # cos and sin are Q13
RECIPROCAL_BITS = 24  # R = floor(2^24 / sum e)
TABLE_SIZE = 256
BYTE = 8  # bits of a container, and of q, gate, up and everything before it is narrowed

EIGHT = Widths()


def widen(x: Int) -> Int64:
    """The same numbers as int64."""
    return x.astype(np.int64)


def clip8(x: Int64) -> NDArray[np.int8]:
    """Saturate to int8."""
    return np.clip(x, -128, 127).astype(np.int8)


def clip(x: Int64, bits: int) -> NDArray[np.int8]:
    """Saturate to `bits` bits, at most 8, in int8."""
    return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1).astype(np.int8)


def clip16(x: Int64) -> NDArray[np.int16]:
    """Saturate to int16."""
    return np.clip(x, -32768, 32767).astype(np.int16)


def rounded_shift(x: Int64, shift: int) -> Int64:
    """`(x + 2^(shift-1)) >> shift`: divide by a power of two, halves rounded up."""
    return (x + (1 << (shift - 1))) >> shift


def embed(table: Int, token: int, shift: int) -> NDArray[np.int16]:
    """Row `token` of the embedding int8 [vocab, width], scaled: int16 [width]."""
    return clip16(widen(table[token]) << shift)


def inverse_root(ss: int) -> int:
    """`floor(2^24 / sqrt(ss))`, and 2^24 for ss = 0."""
    return isqrt((1 << (2 * NORM_BITS)) // ss) if ss else 1 << NORM_BITS


def rms_norm(residual: Int, shift: int, bits: int = BYTE) -> NDArray[np.int8]:
    """RMSNorm without gain: int16 [..., width] to [..., width] of `bits` bits in int8."""
    r = widen(residual)
    squares = (r * r).sum(axis=-1)
    n = np.array([inverse_root(int(ss)) for ss in squares.reshape(-1)], np.int64)
    return clip(rounded_shift(r * n.reshape(squares.shape)[..., None], shift), bits)


def accumulate(x: Int, weight: Int) -> NDArray[np.int32]:
    """`x @ weight`: int8 [..., K] and int8 [K, N] to int32 [..., N]."""
    return (widen(x) @ widen(weight)).astype(np.int32)


def scale(acc: Int, mult: Int, bias: Int, shift: int) -> Int64:
    """`(acc * mult + bias) >> shift`, not yet saturated: int64 [..., N]."""
    return (widen(acc) * widen(mult) + widen(bias)) >> shift


def requantise(acc: Int, mult: Int, bias: Int, shift: int) -> NDArray[np.int8]:
    """Accumulators int32 [..., N] to int8 [..., N]."""
    return clip8(scale(acc, mult, bias, shift))


def add_residual(acc: Int, mult: Int, bias: Int, shift: int, residual: Int) -> NDArray[np.int16]:
    """Scaled accumulators added to the residual stream: int16 [..., N]."""
    return clip16(scale(acc, mult, bias, shift) + widen(residual))


def logits(acc: Int, mult: Int, bias: Int, shift: int) -> NDArray[np.int16]:
    """Accumulators of the head, int32 [..., vocab], to int16 logits."""
    return clip16(scale(acc, mult, bias, shift))


def rope(x: Int, cos: Int, sin: Int, bits: int = BYTE) -> NDArray[np.int8]:
    """Rotate the adjacent pairs of int8 [..., head_dim] by Q13 cos, sin int16 [head_dim/2], and keep `bits` bits.

    A result of fewer than 8 bits has steps 2^(8-bits) times as large.
    """
    even, odd = widen(x[..., 0::2]), widen(x[..., 1::2])
    c, s = widen(cos), widen(sin)
    out, shift = np.empty(x.shape, np.int8), ROPE_BITS + BYTE - bits
    out[..., 0::2] = clip(rounded_shift(even * c - odd * s, shift), bits)
    out[..., 1::2] = clip(rounded_shift(even * s + odd * c, shift), bits)
    return out


def narrow(x: Int, bits: int) -> NDArray[np.int8]:
    """int8 [...] rounded to `bits` bits, steps 2^(8-bits) times as large."""
    return clip(rounded_shift(widen(x), BYTE - bits) if bits < BYTE else widen(x), bits)


def rope_qkv(
    qkv: Int, heads: int, head_dim: int, cos: Int, sin: Int, kv_bits: int = BYTE
) -> NDArray[np.int8]:
    """RoPE on the first `heads` heads (q and k) of int8 [..., qkv_width]; k and v heads keep `kv_bits` bits."""
    by_head = qkv.reshape(*qkv.shape[:-1], -1, head_dim)
    queries = max(0, 2 * heads - by_head.shape[-2])  # there are as many k heads as v heads
    q, k, v = np.split(by_head, [queries, heads], axis=-2)
    parts = [rope(q, cos, sin), rope(k, cos, sin, kv_bits), narrow(v, kv_bits)]
    return np.concatenate(parts, axis=-2).reshape(qkv.shape)


def softmax_weights(scores: Int, exp_table: Int, score_mult: int, score_shift: int) -> NDArray[np.uint8]:
    """Unnormalised softmax of integer scores [..., positions]: uint8, 255 at the largest."""
    s = widen(scores)
    distance = s.max(axis=-1, keepdims=True) - s
    index = np.minimum((distance * score_mult) >> score_shift, TABLE_SIZE - 1)
    weights: NDArray[np.uint8] = exp_table[index].astype(np.uint8)
    return weights


def weighted_mean(weights: Int, values: Int, widths: Widths) -> NDArray[np.int8]:
    """Mean of values [positions, head_dim] of `widths.kv` bits by uint8 weights [positions], one of them 255.

    The result has `widths.activation` bits: with more of them than the values have, it keeps fractions of their step.
    """
    w = widen(weights)
    total = int(w.sum())
    reciprocal = (1 << RECIPROCAL_BITS) // total
    shift = RECIPROCAL_BITS + widths.kv - widths.activation
    return clip(rounded_shift((w @ widen(values)) * reciprocal, shift), widths.activation)


def attention(
    q: Int,
    keys: Int,
    values: Int,
    exp_table: Int,
    score_mult: int,
    score_shift: int,
    widths: Widths = EIGHT,
) -> NDArray[np.int8]:
    """Causal attention of one token in one layer.

    q int8 [heads, head_dim]; keys and values [kv_heads, positions, head_dim] of `widths.kv` bits, positions 0..pos
    only. Returns [heads * head_dim] of `widths.activation` bits in int8.
    """
    group = q.shape[0] // keys.shape[0]
    out = []
    for head, query in enumerate(q):
        k, v = keys[head // group], values[head // group]
        weights = softmax_weights(widen(k) @ widen(query), exp_table, score_mult, score_shift)
        out.append(weighted_mean(weights, v, widths))
    return np.concatenate(out)


def silu_gate(gate_up: Int, silu_table: Int, shift: int, bits: int = BYTE) -> NDArray[np.int8]:
    """`silu(gate) * up`: int8 [..., 2*ffn], gate channels first, to [..., ffn] of `bits` bits in int8."""
    ffn = gate_up.shape[-1] // 2
    gate, up = widen(gate_up[..., :ffn]), widen(gate_up[..., ffn:])
    return clip(rounded_shift(widen(silu_table)[gate + 128] * up, shift), bits)


def argmax(values: Int) -> int:
    """The lowest index that holds the largest value of [vocab]."""
    return int(np.argmax(values))
