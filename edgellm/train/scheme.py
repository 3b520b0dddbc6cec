"""Shifts and steps of a quantised model: everything about its scales but the weights' own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgellm.numerics.model import Architecture, Widths

NORM_BITS = 24
BYTE = 8
Outputs = list[tuple[int, float]]
Steps = dict[str, tuple[float, Outputs]]


@dataclass(frozen=True, slots=True)
class Scheme:
    """Shifts and the real value of one integer step of every tensor. `v` and `up` have one value per layer.

    `k` and `v` are steps before the cache: of 8 bits, whatever the cache keeps of them.
    """

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
    embed_gain: int = 1  # the embedding enters the residual stream this much larger, to use more of its bits
    activation_bits: int = BYTE
    kv_bits: int = BYTE
    embedding_bits: int = BYTE
    glu_bits: int = BYTE
    mult_bits: dict[str, int] = field(default_factory=dict)  # of the kinds whose multipliers need more than 8

    @property
    def widths(self) -> Widths:
        return Widths(self.activation_bits, self.kv_bits, self.embedding_bits, self.glu_bits)

    def norm(self, width: int) -> float:
        """Step of an RMSNorm output of `width` channels."""
        return math.sqrt(width) * math.ldexp(1.0, self.norm_shift - NORM_BITS)

    @property
    def embedding(self) -> float:
        return math.ldexp(self.residual, self.embed_shift)

    @property
    def key(self) -> float:
        """Step of the keys in the cache."""
        return math.ldexp(self.k, BYTE - self.kv_bits)

    def value(self, layer: int) -> float:
        """Step of the values in the cache."""
        return math.ldexp(self.v[layer], BYTE - self.kv_bits)

    def mixed(self, layer: int) -> float:
        """Step of what attention gives."""
        return math.ldexp(self.v[layer], BYTE - self.activation_bits)

    def glu(self, layer: int) -> float:
        return math.ldexp(self.silu * self.up[layer], self.glu_shift)

    def steps(self, arch: Architecture, layer: int) -> Steps:
        """Of each kind of linear layer: the step of its input, and (channels, step) of its outputs in order."""
        norm, kv = self.norm(arch.width), arch.kv_heads * arch.head_dim
        residual = [(arch.width, self.residual)]
        return {
            "qkv": (norm, [(arch.attention_width, self.q), (kv, self.k), (kv, self.v[layer])]),
            "attn_out": (self.mixed(layer), residual),
            "gate_up": (norm, [(arch.ffn, self.gate), (arch.ffn, self.up[layer])]),
            "down": (self.glu(layer), residual),
            "head": (norm, [(arch.vocab, self.logits)]),
        }

    def largest_mult(self, kind: str) -> int:
        return (1 << self.mult_bits.get(kind, BYTE)) - 1

    def grid(self, kind: str, step_in: float, outputs: Outputs) -> Tensor:
        """Weight scale for multiplier 1, per output channel; `outputs` are (channels, step) in order."""
        unit = 2.0 ** -self.shifts[kind] / step_in
        return torch.cat([torch.full((count,), unit * step, dtype=torch.float64) for count, step in outputs])
