"""The decoder as the integer contract sees it: Brevitas quantises every tensor, weight scales lie on the integer grid.

Each quantiser here is one tensor of docs/numerics.md; the integer model differs from this one by float rounding alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from brevitas.nn import QuantEmbedding, QuantIdentity, QuantLinear
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import Tensor, nn

from edgellm.numerics.model import Architecture
from edgellm.numerics.tables import EXP_STEPS_PER_NAT, exp_table
from edgellm.train.model import NORM_EPS, Cache, Decoder, rope_tables, rotate, split_heads

MULT_MAX = 255  # 8 bits of multiplier per channel
NORM_BITS = 24
# Step over mean |w|, by largest integer. Ternary: weights above 0.7 mean |w| are +-1. 3 bits: the step of least square
# error for seven levels of a normal distribution, 0.65 standard deviations
MEAN_STEPS = {1: 1.4, 3: 0.82}
MASKED = -1e9
NUDGE = 2.0**-12  # of a step: far below the fractions that multipliers and shifts make
INDEX_SLACK = (
    1e-4  # the exponent index is a whole number times float scales: keep rounding from flooring it away
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """Shifts and the real value of one integer step of every tensor. `v` and `up` have one value per layer."""

    norm_shift: int
    score_mult: int
    score_shift: int
    glu_shift: int
    embed_shift: int
    shifts: dict[str, int]  # qkv, attn_out, gate_up, down, head
    q: float
    k: float
    v: list[float]
    gate: float
    silu: float
    up: list[float]
    residual: float
    logits: float
    embed_gain: int = (
        1  # the float embedding enters the residual stream this much larger, to use more of its 8 bits
    )

    def norm(self, width: int) -> float:
        """Step of an RMSNorm output of `width` channels."""
        return math.sqrt(width) * math.ldexp(1.0, self.norm_shift - NORM_BITS)

    @property
    def embedding(self) -> float:
        return math.ldexp(self.residual, self.embed_shift)

    def glu(self, layer: int) -> float:
        return math.ldexp(self.silu * self.up[layer], self.glu_shift)

    def grid(self, kind: str, step_in: float, outputs: list[tuple[int, float]]) -> Tensor:
        """Weight scale for multiplier 1, per output channel; `outputs` are (channels, step) in order."""
        unit = 2.0 ** -self.shifts[kind] / step_in
        return torch.cat([torch.full((count,), unit * step, dtype=torch.float64) for count, step in outputs])


def weight_scale(weight: Tensor, largest: Tensor | int) -> Tensor:
    """Step of each channel before it is put on the grid: weight [N, K] -> [N, 1]; integers go to +-`largest`.

    From 4 bits on the largest weight is the largest integer. Fewer levels clip: their steps are multiples of the mean
    magnitude (ternary: Li et al. 2016, "Ternary Weight Networks"; 3 bits: Max 1960, "Quantizing for Minimum Distortion").
    """
    share = MEAN_STEPS.get(int(largest))
    if share is None:
        return weight.abs().amax(1, keepdim=True) / largest
    return weight.abs().mean(1, keepdim=True) * share


class GridScaling(nn.Module):
    """scale[c] = m[c] * unit[c] with a whole m in 1..255 nearest to `weight_scale` (straight-through estimator)."""

    unit: Tensor

    def __init__(self, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("unit", unit.float().reshape(-1, 1), persistent=False)

    def forward(self, weight: Tensor, threshold: Tensor) -> Tensor:
        """weight [N, K] -> scale [N, 1]; `threshold` is the largest integer weight."""
        wanted = weight_scale(weight, threshold)
        mult = (wanted / self.unit).round().clamp(1, MULT_MAX)
        return wanted + (mult * self.unit - wanted).detach()


def linear(inputs: int, unit: Tensor, bits: int) -> QuantLinear:
    """A linear layer with narrow `bits`-bit weights per output channel, scales on the grid."""

    class GridWeight(Int8WeightPerChannelFloat):  # type: ignore[misc]
        bit_width = bits
        scaling_impl = GridScaling(unit)

    return QuantLinear(inputs, len(unit), bias=False, weight_quant=GridWeight)


class OnGrid(torch.autograd.Function):
    """Round to multiples of `step`, halves up, and saturate; the gradient passes where nothing saturated.

    The straight-through estimator (Bengio et al. 2013) of Brevitas in a third of its operators.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, bits: int) -> Tensor:
        level = x * (1 / step)
        level.add_(NUDGE).round_()
        kept = level.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        ctx.save_for_backward(level == kept)
        return kept.mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class HalfUp(QuantIdentity):  # type: ignore[misc]
    """Rounds halves up as the contract does, where Brevitas rounds them to even: products of integers meet many exact halves.

    Brevitas' own quantiser is what is exported; training takes the same values from `OnGrid`.
    """

    def __init__(self, step: float, bits: int, **options: Any) -> None:
        super().__init__(**options)
        self.step, self.bits = step, bits

    def forward(self, x: Tensor) -> Tensor:
        if self.export_mode:
            return super().forward(x + self.step * NUDGE)  # type: ignore[no-any-return]
        quantised: Tensor = OnGrid.apply(x, self.step, self.bits)  # type: ignore[no-untyped-call]
        return quantised


def fixed(step: float, bits: int = 8) -> HalfUp:
    """Rounds to multiples of `step` and saturates to `bits` bits."""

    class Fixed(Int8ActPerTensorFloat):  # type: ignore[misc]
        bit_width = bits
        scaling_impl_type = "const"
        scaling_init = step * 2 ** (bits - 1)
        restrict_scaling_type = "fp"

    return HalfUp(step, bits, act_quant=Fixed, return_quant_tensor=False)


def embedding(arch: Architecture, step: float) -> QuantEmbedding:
    """int8 embedding of one fixed scale."""

    class Fixed(Int8WeightPerTensorFloat):  # type: ignore[misc]
        scaling_impl_type = "const"
        scaling_init = step * 127
        restrict_scaling_type = "fp"

    return QuantEmbedding(arch.vocab, arch.width, weight_quant=Fixed)


def rms_norm(x: Tensor) -> Tensor:
    """As in the float model, from operators that the QONNX exporter knows."""
    return x / x.square().mean(-1, keepdim=True).add(NORM_EPS).sqrt()


class QuantAttention(nn.Module):
    """Causal attention with the table softmax; q, k, v are already on their int8 grids."""

    table: Tensor

    def __init__(self, arch: Architecture, scheme: Scheme, layer: int) -> None:
        super().__init__()
        self.groups = arch.heads // arch.kv_heads
        self.index_per_score = scheme.score_mult * 2.0**-scheme.score_shift / (scheme.q * scheme.k)
        self.register_buffer("table", torch.tensor(exp_table(), dtype=torch.float32) / 255, persistent=False)
        self.mixed = fixed(scheme.v[layer])

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        k, v = k.repeat_interleave(self.groups, 1), v.repeat_interleave(self.groups, 1)
        scores = (q @ k.transpose(-1, -2)).masked_fill(~mask, MASKED)
        index = (scores.amax(-1, keepdim=True) - scores) * self.index_per_score
        index = index.clamp(max=len(self.table))  # exp of what is masked is slow, and zero by table anyway
        smooth = torch.exp(-index / EXP_STEPS_PER_NAT)
        hard = self.table[(index.detach() + INDEX_SLACK).clamp(0, 255).int()]
        weight = (smooth + (hard - smooth).detach()) * mask
        return self.mixed((weight @ v) / weight.sum(-1, keepdim=True))  # type: ignore[no-any-return]


class QuantBlock(nn.Module):
    """One decoder layer on the integer grid."""

    def __init__(self, arch: Architecture, scheme: Scheme, layer: int, bits: int) -> None:
        super().__init__()
        self.arch = arch
        norm, v, up, glu = scheme.norm(arch.width), scheme.v[layer], scheme.up[layer], scheme.glu(layer)
        kv = arch.kv_heads * arch.head_dim
        qkv_steps = [(arch.attention_width, scheme.q), (kv, scheme.k), (kv, v)]
        residual = [(arch.width, scheme.residual)]
        self.qkv = linear(arch.width, scheme.grid("qkv", norm, qkv_steps), bits)
        self.attn_out = linear(arch.attention_width, scheme.grid("attn_out", v, residual), bits)
        self.gate_up = linear(
            arch.width, scheme.grid("gate_up", norm, [(arch.ffn, scheme.gate), (arch.ffn, up)]), bits
        )
        self.down = linear(arch.ffn, scheme.grid("down", glu, residual), bits)
        self.attn_norm, self.ffn_norm = fixed(norm), fixed(norm)
        self.q, self.k, self.v = fixed(scheme.q), fixed(scheme.k), fixed(v)
        self.q_turned, self.k_turned = fixed(scheme.q), fixed(scheme.k)
        self.attention = QuantAttention(arch, scheme, layer)
        self.gate, self.silu, self.up, self.glu = (
            fixed(scheme.gate),
            fixed(scheme.silu),
            fixed(up),
            fixed(glu),
        )
        self.attn_branch, self.ffn_branch = fixed(scheme.residual, 16), fixed(scheme.residual, 16)
        self.attn_residual, self.ffn_residual = fixed(scheme.residual, 16), fixed(scheme.residual, 16)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = split_heads(self.qkv(self.attn_norm(rms_norm(x))), self.arch)
        q, k = self.q_turned(rotate(self.q(q), cos, sin)), self.k_turned(rotate(self.k(k), cos, sin))
        v = self.v(v)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        mixed = self.attention(q, k, v, mask)
        x = self.attn_residual(x + self.attn_branch(self.attn_out(mixed.transpose(1, 2).flatten(2))))
        gate, up = self.gate_up(self.ffn_norm(rms_norm(x))).chunk(2, -1)
        glu = self.glu(self.silu(F.silu(self.gate(gate))) * self.up(up))
        return self.ffn_residual(x + self.ffn_branch(self.down(glu))), (k, v)


class QuantDecoder(nn.Module):
    """Token ids [batch, time] -> logits [batch, time, vocab], everything quantised. Head and embedding share one float weight."""

    cos: Tensor
    sin: Tensor

    def __init__(self, arch: Architecture, scheme: Scheme, weight_bits: int, head_bits: int) -> None:
        super().__init__()
        self.arch, self.scheme = arch, scheme
        norm = scheme.norm(arch.width)
        self.embedding = embedding(arch, scheme.embedding / scheme.embed_gain)
        self.head = linear(arch.width, scheme.grid("head", norm, [(arch.vocab, scheme.logits)]), head_bits)
        self.head.weight = self.embedding.weight
        self.blocks = nn.ModuleList(QuantBlock(arch, scheme, i, weight_bits) for i in range(arch.layers))
        self.final_norm, self.logits = fixed(norm), fixed(scheme.logits, 16)
        cos, sin = rope_tables(arch.context, arch.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def load_float(self, model: Decoder) -> None:
        """Start from a float model of the same architecture."""
        with torch.no_grad():
            own: dict[str, Any] = dict(self.named_parameters())
            for name, value in model.named_parameters():
                own[name].copy_(value)

    def forward(self, ids: Tensor) -> Tensor:
        return self.step(ids, [None] * self.arch.layers)[0]

    def step(self, ids: Tensor, caches: Cache) -> tuple[Tensor, Cache]:
        """As `Decoder.step`."""
        past = caches[0]
        start = 0 if past is None else past[0].shape[2]
        end = start + ids.shape[1]
        cos, sin = self.cos[start:end], self.sin[start:end]
        positions = torch.arange(end, device=ids.device)
        mask = positions[None] <= positions[start:, None]
        x = self.embedding(ids) * self.scheme.embed_gain
        grown: Cache = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, kept = block(x, cos, sin, mask, cache)
            grown.append(kept)
        return self.logits(self.head(self.final_norm(rms_norm(x)))), grown
