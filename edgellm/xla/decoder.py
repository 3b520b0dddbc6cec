"""One decoder step in JAX, in integers alone: rows of tokens, each with its slot and position.

Source: docs/numerics.md, "Operations", and edgellm.numerics.ops, which this follows line by line. No float takes part, so it is
the same on every device that XLA compiles for. Call everything with 64-bit types on (`jax.enable_x64`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from edgellm.numerics.model import Architecture, IntegerModel, Linear, Numerics, Widths
from edgellm.numerics.ops import BYTE, NORM_BITS, RECIPROCAL_BITS, ROPE_BITS, TABLE_SIZE

FAR = -(1 << 30)  # below every score


class Matrices(NamedTuple):
    """Linear layers of one kind, those of all decoder layers behind each other: int8 [L, K, N], int64 [L, N] twice."""

    weight: Array
    mult: Array
    bias: Array


class Parameters(NamedTuple):
    """What a step reads; the matrices' shifts are in `Constants`."""

    embedding: Array
    qkv: Matrices
    attn_out: Matrices
    gate_up: Matrices
    down: Matrices
    head: Matrices
    exp_table: Array
    silu_table: Array
    cos: Array
    sin: Array


class Caches(NamedTuple):
    """int8 [layers, slots, kv_heads, context, head_dim] each."""

    keys: Array
    values: Array


class Rows(NamedTuple):
    """int32 [R] each; a row whose slot does not exist is idle."""

    slots: Array
    positions: Array
    tokens: Array


class Constants(NamedTuple):
    """What is compiled in."""

    arch: Architecture
    numerics: Numerics
    widths: Widths
    shifts: tuple[int, int, int, int, int]  # qkv, attn_out, gate_up, down, head


def parameters(model: IntegerModel) -> Parameters:
    """The model's arrays on the device."""

    def kind(name: str) -> Matrices:
        return _matrices([getattr(block, name) for block in model.blocks])

    return Parameters(
        jnp.asarray(model.embedding),
        kind("qkv"),
        kind("attn_out"),
        kind("gate_up"),
        kind("down"),
        _matrices([model.head]),
        *(jnp.asarray(table.astype(np.int32)) for table in (model.exp_table, model.silu_table)),
        *(jnp.asarray(table.astype(np.int32)) for table in (model.rope_cos, model.rope_sin)),
    )


def constants(model: IntegerModel) -> Constants:
    """The model's shape and shifts."""
    block = model.blocks[0]
    linears = (block.qkv, block.attn_out, block.gate_up, block.down, model.head)
    shifts = tuple(linear.shift for linear in linears)
    return Constants(model.arch, model.numerics, model.widths, shifts)  # type: ignore[arg-type]


def caches(arch: Architecture, slots: int) -> Caches:
    """Empty ones."""
    shape = (arch.layers, slots, arch.kv_heads, arch.context, arch.head_dim)
    return Caches(jnp.zeros(shape, jnp.int8), jnp.zeros(shape, jnp.int8))


def step(fixed: Constants, weights: Parameters, kept: Caches, rows: Rows) -> tuple[Caches, Array]:
    """Feed the rows, which may be several tokens of a slot: the caches with them, and logits int16 [R, vocab]."""
    residual = weights.embedding[rows.tokens].astype(jnp.int32) << fixed.numerics.embed_shift
    layers = jnp.arange(fixed.arch.layers)

    def layer(carry: tuple[Caches, Array], index: Array) -> tuple[tuple[Caches, Array], None]:
        return _layer(fixed, weights, carry[0], carry[1], rows, index), None

    (kept, residual), _ = lax.scan(layer, (kept, residual), layers)
    normed = _rms_norm(residual, fixed.numerics.norm_shift, fixed.widths.activation)
    logits = _clip(_scaled(normed, weights.head, jnp.int32(0), fixed.shifts[4]), 16)
    return kept, logits.astype(jnp.int16)


def copy(kept: Caches, source: Array, target: Array) -> Caches:
    """Slot `target` becomes slot `source`."""
    return Caches(*(cache.at[:, target].set(cache[:, source]) for cache in kept))


def _layer(
    fixed: Constants, weights: Parameters, kept: Caches, residual: Array, rows: Rows, index: Array
) -> tuple[Caches, Array]:
    norm_shift, widths = fixed.numerics.norm_shift, fixed.widths
    normed = _rms_norm(residual, norm_shift, widths.activation)
    qkv = _clip(_scaled(normed, weights.qkv, index, fixed.shifts[0]), BYTE)
    kept, mixed = _attention(fixed, weights, kept, qkv, rows, index)
    residual = _clip(_scaled(mixed, weights.attn_out, index, fixed.shifts[1]) + residual, 16)
    normed = _rms_norm(residual, norm_shift, widths.activation)
    gate_up = _clip(_scaled(normed, weights.gate_up, index, fixed.shifts[2]), BYTE)
    gate, up = gate_up[:, : fixed.arch.ffn], gate_up[:, fixed.arch.ffn :]
    gated = _rounded(weights.silu_table[gate + 128] * up, fixed.numerics.glu_shift)
    down = _scaled(_clip(gated, widths.glu), weights.down, index, fixed.shifts[3])
    return kept, _clip(down + residual, 16)


def _attention(
    fixed: Constants, weights: Parameters, kept: Caches, qkv: Array, rows: Rows, index: Array
) -> tuple[Caches, Array]:
    """Write the rows' keys and values, then let every row see its slot up to itself: [R, heads * head_dim]."""
    a, widths = fixed.arch, fixed.widths
    by_head = qkv.reshape(-1, a.heads + 2 * a.kv_heads, a.head_dim)
    q, k, v = jnp.split(by_head, [a.heads, a.heads + a.kv_heads], axis=1)
    cos, sin = (table[rows.positions][:, None] for table in (weights.cos, weights.sin))
    q, k = _rope(q, cos, sin, BYTE), _rope(k, cos, sin, widths.kv)
    v = _clip(_rounded(v, BYTE - widths.kv), widths.kv) if widths.kv < BYTE else v
    kept = Caches(
        _written(kept.keys, k, rows, index),
        _written(kept.values, v, rows, index),
    )
    keys, values = (cache[index, rows.slots].astype(jnp.int32) for cache in kept)
    q = q.reshape(-1, a.kv_heads, a.heads // a.kv_heads, a.head_dim)
    scores = jnp.einsum("rkgd,rktd->rkgt", q, keys)
    late = jnp.arange(a.context) > rows.positions[:, None]
    weighted = _softmax_weights(fixed.numerics, weights.exp_table, scores, late[:, None, None])
    total = jnp.einsum("rkgt,rktd->rkgd", weighted, values).astype(jnp.int64)
    share = (1 << RECIPROCAL_BITS) // weighted.sum(-1, keepdims=True).astype(jnp.int64)
    mean = _rounded(total * share, RECIPROCAL_BITS + widths.kv - widths.activation)
    return kept, _clip(mean, widths.activation).reshape(-1, a.attention_width)


def _softmax_weights(numerics: Numerics, table: Array, scores: Array, late: Array) -> Array:
    seen = jnp.where(late, FAR, scores)
    distance = (seen.max(-1, keepdims=True) - seen).astype(jnp.int64)
    index = (distance * numerics.score_mult) >> numerics.score_shift
    return table[jnp.minimum(index, TABLE_SIZE - 1)]


def _written(cache: Array, new: Array, rows: Rows, index: Array) -> Array:
    """Rows of slots that do not exist are left out."""
    where = cache.at[index, rows.slots, :, rows.positions]
    return where.set(new.astype(jnp.int8), mode="drop")


def _scaled(x: Array, matrices: Matrices, index: Array, shift: int) -> Array:
    """int32 [R, K] of at most 8 bits times a layer's matrix: int64 [R, N]."""
    product = lax.dot_general(
        x.astype(jnp.int8),
        matrices.weight[index],
        (((1,), (0,)), ((), ())),
        preferred_element_type=jnp.int32,
    )
    return (product.astype(jnp.int64) * matrices.mult[index] + matrices.bias[index]) >> shift


def _rms_norm(residual: Array, shift: int, bits: int) -> Array:
    wide = residual.astype(jnp.int64)
    root = _inverse_root((wide * wide).sum(-1, keepdims=True))
    return _clip(_rounded(wide * root, shift), bits)


def _inverse_root(squares: Array) -> Array:
    """`floor(2^24 / sqrt(ss))` bit by bit: the largest n with n^2 <= floor(2^48 / ss), and 2^24 for ss = 0."""
    quotient = (1 << (2 * NORM_BITS)) // jnp.maximum(squares, 1)

    def add_bit(number: int, root: Array) -> Array:
        grown = root | (jnp.int64(1) << (NORM_BITS - number))
        return jnp.where(grown * grown <= quotient, grown, root)

    root: Array = lax.fori_loop(0, NORM_BITS + 1, add_bit, jnp.zeros_like(quotient))
    return root


def _rope(x: Array, cos: Array, sin: Array, bits: int) -> Array:
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)
    return _clip(_rounded(turned, ROPE_BITS + BYTE - bits), bits)


def _rounded(x: Array, shift: int) -> Array:
    return (x + (1 << (shift - 1))) >> shift


def _clip(x: Array, bits: int) -> Array:
    """Saturate, in int32."""
    half = 1 << (bits - 1)
    return jnp.clip(x, -half, half - 1).astype(jnp.int32)


def _matrices(layers: list[Linear]) -> Matrices:
    weight = np.stack([layer.weight.astype(np.int8) for layer in layers])
    mult, bias = (
        np.stack([getattr(layer, name).astype(np.int64) for layer in layers]) for name in ("mult", "bias")
    )
    return Matrices(jnp.asarray(weight), jnp.asarray(mult), jnp.asarray(bias))


compiled_step = jax.jit(step, static_argnums=0, donate_argnums=2)
compiled_copy = jax.jit(copy, donate_argnums=0)
