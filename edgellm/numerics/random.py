"""Integer models made of random numbers, for tests and benchmarks: no training needed.

`random_model` has gains chosen so that activations use their range without sitting at its ends;
`extreme_model` sits at the ends on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, log2, sqrt
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edgellm.errors import UsageError
from edgellm.numerics.model import Architecture, Block, IntegerModel, Linear, Numerics, Widths
from edgellm.numerics.tables import exp_table, rope_tables, silu_table
from edgellm.numerics.validate import MAX_MULT, MAX_SCALED, MAX_SHIFT, largest_accumulator, validate

ACTIVATION_STD = 32.0  # at 8 bits, as the next three: 4 standard deviations to the end of the range
ATTENTION_STD = 16.0  # a mean over positions is narrower
GLU_STD = 12.0
BRANCH_STD = 400.0  # what a sub-layer adds to the residual stream
LOGIT_STD = 2000.0

EIGHT = Widths()
Extreme = Literal["high", "low", "mixed"]
WeightBits = int | Callable[[str, int], int]  # one for all, or of each kind and layer


def random_model(
    arch: Architecture, seed: int, weight_bits: WeightBits = 4, mult_bits: int = 8, widths: Widths = EIGHT
) -> IntegerModel:
    """A valid model of that shape; the same arguments give the same model.

    `weight_bits` is one for all linear layers or a function of kind and layer. Multipliers have `mult_bits` bits, 1
    to 16.
    """
    rng = np.random.default_rng(seed)
    step, kept = 2.0 ** (widths.activation - 8), 2.0 ** (widths.kv - 8)
    numerics = Numerics(
        norm_shift=max(1, round(24 - log2(sqrt(arch.width) * ACTIVATION_STD * step))),
        score_mult=max(1, round(_score_ratio(arch) / kept * (1 << 16))),
        score_shift=16,
        glu_shift=13 - widths.glu,
        embed_shift=12 - widths.embedding,
    )
    shifts: dict[str, int] = {}

    def linear(name: str, layer: int, shape: tuple[int, int], std_in: float, std_out: float) -> Linear:
        bits = weight_bits if isinstance(weight_bits, int) else weight_bits(name, layer)
        (inputs, outputs), limit = shape, (1 << (bits - 1)) - 1
        weight = rng.integers(-limit, limit + 1, (inputs, outputs)).astype(np.int8)
        gain = std_out / (std_in * sqrt(inputs * limit * (limit + 1) / 3))
        shift = shifts.setdefault(name, min(MAX_SHIFT, max(1, floor(mult_bits - 0.5 - log2(gain)))))
        mult = np.clip(np.rint(gain * rng.uniform(0.7, 1.3, outputs) * 2.0**shift), 1, (1 << mult_bits) - 1)
        half = 1 << (shift - 1)
        bias = np.clip(half + rng.integers(-4 * half, 4 * half + 1, outputs), -(1 << 31), (1 << 31) - 1)
        return Linear(weight, mult.astype(np.int32), bias.astype(np.int32), shift, bits)

    def block(layer: int) -> Block:
        normed = ACTIVATION_STD * step
        return Block(
            linear("qkv", layer, (arch.width, arch.qkv_width), normed, ACTIVATION_STD),
            linear("attn_out", layer, (arch.attention_width, arch.width), ATTENTION_STD * step, BRANCH_STD),
            linear("gate_up", layer, (arch.width, 2 * arch.ffn), normed, ACTIVATION_STD),
            linear("down", layer, (arch.ffn, arch.width), GLU_STD * 2.0 ** (widths.glu - 8), BRANCH_STD),
        )

    model = IntegerModel(
        arch=arch,
        numerics=numerics,
        embedding=_embedding(rng, arch, widths.embedding),
        blocks=tuple(block(layer) for layer in range(arch.layers)),
        head=linear("head", 0, (arch.width, arch.vocab), ACTIVATION_STD * step, LOGIT_STD),
        exp_table=exp_table(),
        silu_table=silu_table(1 / 16, 1 / 16),
        rope_cos=rope_tables(arch.context, arch.head_dim)[0],
        rope_sin=rope_tables(arch.context, arch.head_dim)[1],
        widths=widths,
    )
    validate(model)
    return model


def _embedding(rng: Generator, arch: Architecture, bits: int) -> NDArray[np.int8]:
    top = 1 << (bits - 1)
    return rng.integers(1 - top, top, (arch.vocab, arch.width)).astype(np.int8)


def extreme_model(
    arch: Architecture, seed: int, variant: Extreme, weight_bits: int = 4, widths: Widths = EIGHT
) -> IntegerModel:
    """A valid model whose weights, multipliers, biases and tables all sit at the ends of their ranges.

    `high`: everything as large as allowed, `low`: as small (most negative), `mixed`: a random end each.
    """
    if variant not in ("high", "low", "mixed"):
        raise UsageError(f"variant is {variant!r}; it is one of 'high', 'low', 'mixed'")
    rng = np.random.default_rng(seed)
    limit = (1 << (weight_bits - 1)) - 1
    shift = int(rng.integers(1, 16))

    def linear(inputs: int, outputs: int) -> Linear:
        weight = _ends(rng, variant, (inputs, outputs), -limit, limit).astype(np.int8)
        bias = _ends(rng, variant, (outputs,), -(1 << 31), (1 << 31) - 1).astype(np.int32)
        room = (MAX_SCALED - 1 - (1 << 31)) // largest_accumulator(weight)
        return Linear(weight, np.minimum(room, MAX_MULT).astype(np.int32), bias, shift, weight_bits)

    def block() -> Block:
        return Block(
            linear(arch.width, arch.qkv_width),
            linear(arch.attention_width, arch.width),
            linear(arch.width, 2 * arch.ffn),
            linear(arch.ffn, arch.width),
        )

    exp = np.full(256, 255, np.uint8)
    exp[255] = 0
    half, top = arch.head_dim // 2, 1 << (widths.embedding - 1)
    numerics = Numerics(
        norm_shift=1, score_mult=1, score_shift=16, glu_shift=1, embed_shift=16 - widths.embedding
    )
    model = IntegerModel(
        arch=arch,
        numerics=numerics,
        embedding=_ends(rng, variant, (arch.vocab, arch.width), -top, top - 1).astype(np.int8),
        blocks=tuple(block() for _ in range(arch.layers)),
        head=linear(arch.width, arch.vocab),
        exp_table=exp,
        silu_table=_ends(rng, variant, (256,), -128, 127).astype(np.int8),
        rope_cos=_ends(rng, variant, (arch.context, half), -8192, 8192).astype(np.int16),
        rope_sin=_ends(rng, variant, (arch.context, half), -8192, 8192).astype(np.int16),
        widths=widths,
    )
    validate(model)
    return model


def _score_ratio(arch: Architecture) -> float:
    """Table steps per unit of integer score, for real scores of standard deviation 1.5."""
    return 24 * 1.5 / (sqrt(arch.head_dim) * ACTIVATION_STD**2)


def _ends(rng: Generator, variant: Extreme, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    if variant == "mixed":
        return np.where(rng.integers(0, 2, shape) == 1, high, low).astype(np.int64)
    return np.full(shape, high if variant == "high" else low, np.int64)
