"""Chooses the scales of the integer model from what the float student does on training lines.

Activations take a high percentile of their magnitude with a little head room; the residual stream may not saturate, so it
takes the largest value seen with a factor to spare. Shifts are then the largest for which every weight scale still has a
multiplier within 8 bits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from edgellm.numerics.model import Architecture
from edgellm.numerics.tables import EXP_STEPS_PER_NAT
from edgellm.train.batches import Encoded, make_batch
from edgellm.train.model import Block, Decoder, rms_norm, rotate, split_heads
from edgellm.train.quant import MULT_MAX, NORM_BITS, Scheme, weight_scale

PERCENTILE = 0.9995
SAMPLE = 200_000  # values a tensor: torch.quantile's own limit is near
RESIDUAL_SPARE = 1.5
LOGIT_SPARE = 3.0
WEIGHT_SPARE = 1.5  # QAT may let a channel's largest weight grow by this much
EMBED_LEVELS = 48  # the largest embedding is at least this many steps of the residual stream
NORM_RANGE = 4.0  # an RMSNorm output saturates beyond about this many root mean squares
SCORE_SHIFT = 10
SILU_TOP = 127.0


class Ranges:
    """Magnitudes seen, per tensor and layer."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], list[Tensor]] = defaultdict(list)

    def see(self, name: str, layer: int, x: Tensor) -> Tensor:
        self._parts[name, layer].append(x.detach().abs().flatten())
        return x

    def top(self, name: str, layer: int, share: float = PERCENTILE) -> float:
        """Magnitude that `share` of the values do not exceed."""
        values = torch.cat(self._parts[name, layer])
        if share == 1.0:
            return float(values.max())
        stride = max(1, len(values) // SAMPLE)
        return float(values[::stride].quantile(share))

    def over_layers(self, name: str, share: float = PERCENTILE) -> list[float]:
        return [self.top(name, layer, share) for key, layer in sorted(self._parts) if key == name]


@torch.no_grad()
def observe(model: Decoder, examples: Sequence[Encoded]) -> Ranges:
    """Run lines one length at a time through the float model and note every tensor that will be quantised."""
    ranges = Ranges()
    by_length: dict[int, list[Encoded]] = defaultdict(list)
    for example in examples:
        by_length[len(example[0])].append(example)
    for group in by_length.values():
        _observe_group(model, make_batch(group, 1.0).ids, ranges)
    return ranges


def _observe_group(model: Decoder, ids: Tensor, ranges: Ranges) -> None:
    cos, sin = model.cos[: ids.shape[1]], model.sin[: ids.shape[1]]
    x = model.embedding(ids)
    ranges.see("embedding", 0, x)
    for layer, block in enumerate(cast(list[Block], list(model.blocks))):
        q, k, v = split_heads(block.qkv(rms_norm(x)), model.arch)
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            ranges.see(name, layer, tensor)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = ranges.see("residual", layer, x + block.attn_out(mixed.transpose(1, 2).flatten(2)))
        gate, up = block.gate_up(rms_norm(x)).chunk(2, -1)
        ranges.see("gate", layer, gate)
        ranges.see("up", layer, up)
        ranges.see("silu", layer, F.silu(gate))
        ranges.see("glu", layer, F.silu(gate) * up)
        x = ranges.see("residual", layer, x + block.down(F.silu(gate) * up))
    ranges.see("logits", 0, F.linear(rms_norm(x), model.embedding.weight))


def choose(model: Decoder, examples: Sequence[Encoded], weight_bits: int = 4, head_bits: int = 4) -> Scheme:
    """The scales for a float student, from the lines given."""
    arch, seen = model.arch, observe(model, examples)
    residual, embed_shift, embed_gain = _residual_step(seen)
    q, k = max(seen.over_layers("q")) / 127, max(seen.over_layers("k")) / 127
    gate, silu = max(seen.over_layers("gate")) / 127, max(seen.over_layers("silu")) / SILU_TOP
    v = [top / 127 for top in seen.over_layers("v")]
    glu_shift, up = _gate_steps(seen, silu)
    score = q * k / math.sqrt(arch.head_dim) * EXP_STEPS_PER_NAT
    score_shift = min(16, SCORE_SHIFT + max(0, math.ceil(-math.log2(score * 2**SCORE_SHIFT / 16))))
    scheme = Scheme(
        norm_shift=_norm_shift(arch.width),
        score_mult=max(1, round(score * 2**score_shift)),
        score_shift=score_shift,
        glu_shift=glu_shift,
        embed_shift=embed_shift,
        shifts=dict.fromkeys(("qkv", "attn_out", "gate_up", "down", "head"), 0),
        q=q,
        k=k,
        v=v,
        gate=gate,
        silu=silu,
        up=up,
        residual=residual,
        logits=_power_of_two(seen.top("logits", 0, 1.0) * LOGIT_SPARE / 32767),
        embed_gain=embed_gain,
    )
    for kind in scheme.shifts:
        bits = head_bits if kind == "head" else weight_bits
        scheme.shifts[kind] = _shift(model, scheme, kind, 2 ** (bits - 1) - 1)
    return scheme


def _residual_step(seen: Ranges) -> tuple[float, int, int]:
    """Step of the residual stream, which must not saturate; the embedding's left shift onto it and its gain.

    A stream that grows far beyond the embedding leaves it few levels; the gain lifts it then, which training absorbs.
    """
    least = max(seen.over_layers("residual", 1.0)) * RESIDUAL_SPARE / 32767
    top = seen.top("embedding", 0, 1.0)
    shift = max(0, math.floor(math.log2(top / 127 / least)))
    step = max(least, top / 127 / 2.0**shift)
    gain = 2 ** max(0, math.ceil(math.log2(EMBED_LEVELS * step / top)))
    return step, shift, gain


def _norm_shift(width: int) -> int:
    """The shift whose step makes int8 reach NORM_RANGE root mean squares, to the nearest power of two."""
    return NORM_BITS + round(math.log2(NORM_RANGE / 128 / math.sqrt(width)))


def _gate_steps(seen: Ranges, silu: float) -> tuple[int, list[float]]:
    """glu = silu * up >> glu_shift must fill int8 without saturating; one shift, so `up` gives way where a layer needs more."""
    wanted = [top / 127 for top in seen.over_layers("up")]
    ratios = [top / 127 / (silu * step) for top, step in zip(seen.over_layers("glu"), wanted, strict=True)]
    shift = max(1, math.ceil(math.log2(min(ratios))))
    return shift, [step * max(1.0, ratio / 2**shift) for ratio, step in zip(ratios, wanted, strict=True)]


def _power_of_two(step: float) -> float:
    return 2.0 ** math.ceil(math.log2(step))


def _shift(model: Decoder, scheme: Scheme, kind: str, weight_max: int) -> int:
    """Largest shift for which the largest multiplier stays within 8 bits."""
    largest = max(
        _largest_multiplier(model, scheme, kind, layer, weight_max) for layer in _layers(model.arch, kind)
    )
    return math.floor(math.log2(MULT_MAX / (largest * WEIGHT_SPARE)))


def _layers(arch: Architecture, kind: str) -> range:
    return range(1 if kind == "head" else arch.layers)


def _largest_multiplier(model: Decoder, scheme: Scheme, kind: str, layer: int, weight_max: int) -> float:
    """Over the channels of one weight, at shift 0 (so far below 1)."""
    arch, norm, kv = model.arch, scheme.norm(model.arch.width), model.arch.kv_heads * model.arch.head_dim
    steps: dict[str, tuple[float, list[tuple[int, float]]]] = {
        "qkv": (norm, [(arch.attention_width, scheme.q), (kv, scheme.k), (kv, scheme.v[layer])]),
        "attn_out": (scheme.v[layer], [(arch.width, scheme.residual)]),
        "gate_up": (norm, [(arch.ffn, scheme.gate), (arch.ffn, scheme.up[layer])]),
        "down": (scheme.glu(layer), [(arch.width, scheme.residual)]),
        "head": (norm, [(arch.vocab, scheme.logits)]),
    }
    weight = model.embedding.weight if kind == "head" else getattr(model.block(layer), kind).weight
    unit = scheme.grid(kind, *steps[kind])
    return float((weight_scale(weight.detach(), weight_max).flatten().double() / unit).max())
