"""Chooses the scales of the integer model from what the float student does on training lines.

q, k and v of 8 bits take a high percentile of their magnitude. The gate, whose products have heavy tails, and everything of
4 bits take the step of least square error. The residual stream may not saturate: the largest value seen with a factor to
spare. Shifts are then the largest for which every weight scale still has a multiplier of its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edgellm.numerics.layout import LINEARS
from edgellm.numerics.tables import EXP_STEPS_PER_NAT
from edgellm.numerics.validate import MAX_MULT, MAX_SCORE_SHIFT, MAX_SHIFT
from edgellm.train.batches import Encoded
from edgellm.train.bits import HEAD, MULT_BITS, Bits
from edgellm.train.model import Decoder
from edgellm.train.quantisers import weight_scale
from edgellm.train.ranges import Ranges, best_step, observe, relative_error
from edgellm.train.scheme import BYTE, NORM_BITS, Scheme

__all__ = ["choose", "from_ranges", "observe"]

RESIDUAL_SPARE = 1.5
LOGIT_SPARE = 3.0
WEIGHT_SPARE = 1.5  # QAT may let a channel's scale grow by this much
EMBED_LEVELS = 48  # the largest embedding of 8 bits is at least this many steps of the residual stream
NORM_RANGE = 4.0  # an RMSNorm output of 8 bits saturates beyond about this many root mean squares
SCORE_SHIFT = 10
TOP = 127.0  # of int8
MAX_GLU_SHIFT = 15


def choose(model: Decoder, examples: Sequence[Encoded], bits: Bits | None = None) -> Scheme:
    """The scales for a float student, from the lines given; `bits` are the recipe's defaults unless given."""
    return from_ranges(model, observe(model, examples), bits or Bits())


def from_ranges(model: Decoder, seen: Ranges, bits: Bits) -> Scheme:
    """The scales for a float student of which `seen` was observed."""
    residual, embed_shift, embed_gain = _residual_step(seen, bits.embedding)
    q, k = max(seen.over_layers("q")) / TOP, _key_step(seen, bits.kv)
    gate, silu = _pooled_step(seen, "gate"), _pooled_step(seen, "silu")
    glu_shift, up = _gate_steps(seen, silu, bits.glu)
    score_mult, score_shift = _score(q * k * 2.0 ** (BYTE - bits.kv) / math.sqrt(model.arch.head_dim))
    layers = model.arch.layers
    scheme = Scheme(
        norm_shift=_norm_shift(seen, model.arch.width, bits.activation),
        score_mult=score_mult,
        score_shift=score_shift,
        glu_shift=glu_shift,
        embed_shift=embed_shift,
        shifts=dict.fromkeys(LINEARS, 0),
        q=q,
        k=k,
        v=[_value_step(seen, layer, bits) for layer in range(layers)],
        gate=gate,
        silu=silu,
        up=up,
        residual=residual,
        logits=_power_of_two(seen.top("logits", 0, 1.0) * LOGIT_SPARE / 32767),
        embed_gain=embed_gain,
        activation_bits=bits.activation,
        kv_bits=bits.kv,
        embedding_bits=bits.embedding,
        glu_bits=bits.glu,
        mult_bits={kind: n for kind in LINEARS if (n := bits.mult_bits(kind, layers)) != MULT_BITS},
    )
    for kind in scheme.shifts:
        _set_shift(model, scheme, kind, bits)
    return scheme


def _residual_step(seen: Ranges, bits: int) -> tuple[float, int, int]:
    """Step of the residual stream, which must not saturate; the embedding's left shift onto it and its gain.

    A stream that grows far beyond the embedding leaves it few levels; the gain lifts it then, which training absorbs.
    """
    least = max(seen.over_layers("residual", 1.0)) * RESIDUAL_SPARE / 32767
    levels = (1 << (bits - 1)) - 1
    fine = seen.top("embedding", 0, 1.0) / levels
    if bits < BYTE:
        fine = best_step([(seen.sample("embedding", 0), bits, 1.0)])
    shift = min(max(0, math.floor(math.log2(fine / least))), 16 - bits)
    step = max(least, fine / 2.0**shift)
    gain = 2 ** max(0, math.ceil(math.log2(EMBED_LEVELS / TOP * step / fine)))
    return step, shift, gain


def _key_step(seen: Ranges, bits: int) -> float:
    """Step of k before the cache, one for all layers."""
    if bits == BYTE:
        return max(seen.over_layers("k")) / TOP
    return best_step([(torch.cat(seen.layers("key")), bits, 2.0 ** (BYTE - bits))])


def _value_step(seen: Ranges, layer: int, bits: Bits) -> float:
    """Step of v before the cache; it decides those of the cache and of attention's output."""
    if bits.kv == bits.activation == BYTE:
        return seen.top("v", layer) / TOP
    widths = {"v": bits.kv, "mixed": bits.activation}
    return best_step([(seen.sample(name, layer), n, 2.0 ** (BYTE - n)) for name, n in widths.items()])


def _norm_shift(seen: Ranges, width: int, bits: int) -> int:
    """The shift whose step makes int8 reach NORM_RANGE root mean squares, to the nearest power of two; else the best."""
    usual = NORM_BITS + round(math.log2(NORM_RANGE / 128 / math.sqrt(width))) + BYTE - bits
    if bits == BYTE:
        return usual
    sample = torch.cat(seen.layers("norm"))

    def error(shift: int) -> float:
        return relative_error(sample, math.sqrt(width) * 2.0 ** (shift - NORM_BITS), bits)

    return min(range(usual - 2, usual + 2), key=error)


def _gate_steps(seen: Ranges, silu: float, bits: int) -> tuple[int, list[float]]:
    """Shift of glu = silu * up >> shift and the steps of `up`: what loses least of both, over all layers.

    One shift for all: where glu needs larger steps than that gives, `up` takes larger ones too.
    """
    pairs = list(zip(seen.layers("up"), seen.layers("glu"), strict=True))
    wanted = [(best_step([(up, BYTE, 1.0)]), best_step([(glu, bits, 1.0)])) for up, glu in pairs]

    def steps(shift: int) -> list[float]:
        return [max(up, glu / (silu * 2.0**shift)) for up, glu in wanted]

    def error(shift: int) -> float:
        return sum(
            relative_error(up, step, BYTE) + relative_error(glu, silu * step * 2.0**shift, bits)
            for (up, glu), step in zip(pairs, steps(shift), strict=True)
        )

    best = min(range(1, MAX_GLU_SHIFT + 1), key=error)
    return best, steps(best)


def _pooled_step(seen: Ranges, name: str) -> float:
    """Step of an int8 tensor that has one for all layers."""
    return best_step([(torch.cat(seen.layers(name)), BYTE, 1.0)])


def _score(scale: float) -> tuple[int, int]:
    """(mult, shift) of the exponent's table index, for the real value of one step of score."""
    steps = scale * EXP_STEPS_PER_NAT
    shift = min(MAX_SCORE_SHIFT, SCORE_SHIFT + max(0, math.ceil(-math.log2(steps * 2**SCORE_SHIFT / 16))))
    while shift and steps * 2**shift > MAX_MULT:
        shift -= 1
    return max(1, round(steps * 2**shift)), shift


def _power_of_two(step: float) -> float:
    return 2.0 ** math.ceil(math.log2(step))


def _set_shift(model: Decoder, scheme: Scheme, kind: str, bits: Bits) -> None:
    """The largest shift for which the largest multiplier stays within its width; at shift 1 the multiplier gets wider.

    Coarse weights times coarse activations may be many steps of the residual stream.
    """
    layers = range(1 if kind == HEAD else model.arch.layers)
    largest = (
        max(float(_multipliers(model, scheme, kind, layer, bits).max()) for layer in layers) * WEIGHT_SPARE
    )
    shift = min(MAX_SHIFT, math.floor(math.log2(scheme.largest_mult(kind) / largest)))
    if shift < 1:
        shift = 1
        scheme.mult_bits[kind] = min(MAX_MULT.bit_length(), math.ceil(math.log2(2 * largest + 1)))
    scheme.shifts[kind] = shift


def _multipliers(model: Decoder, scheme: Scheme, kind: str, layer: int, bits: Bits) -> Tensor:
    """Of each channel of one weight, at shift 0 (so far below 1)."""
    weight = model.embedding.weight if kind == HEAD else getattr(model.block(layer), kind).weight
    unit = scheme.grid(kind, *scheme.steps(model.arch, layer)[kind])
    return weight_scale(weight.detach(), bits.of(kind, layer)).flatten().double() / unit
