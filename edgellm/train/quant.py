"""The decoder as the integer contract sees it: Brevitas quantises every tensor, weight scales lie on the integer grid.

Each quantiser here is one tensor of docs/numerics.md; the integer model differs from this one by float rounding alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from brevitas.nn import QuantLinear
from torch import Tensor, nn

from edgellm.numerics.model import Architecture
from edgellm.numerics.tables import EXP_STEPS_PER_NAT, exp_table
from edgellm.train.bits import Bits
from edgellm.train.model import NORM_EPS, Cache, Decoder, rope_tables, rotate, split_heads
from edgellm.train.quantisers import embedding, fixed, linear
from edgellm.train.scheme import Scheme

MASKED = -1e9
INDEX_SLACK = (
    1e-4  # the exponent index is a whole number times float scales: keep rounding from flooring it away
)


def rms_norm(x: Tensor) -> Tensor:
    """As in the float model, from operators that the QONNX exporter knows."""
    return x / x.square().mean(-1, keepdim=True).add(NORM_EPS).sqrt()


class QuantAttention(nn.Module):
    """Causal attention with the table softmax; q, k, v are already on their grids."""

    table: Tensor

    def __init__(self, arch: Architecture, scheme: Scheme, layer: int) -> None:
        super().__init__()
        self.groups = arch.heads // arch.kv_heads
        self.index_per_score = scheme.score_mult * 2.0**-scheme.score_shift / (scheme.q * scheme.key)
        self.register_buffer("table", torch.tensor(exp_table(), dtype=torch.float32) / 255, persistent=False)
        self.mixed = fixed(scheme.mixed(layer), scheme.activation_bits)

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

    qkv: QuantLinear
    attn_out: QuantLinear
    gate_up: QuantLinear
    down: QuantLinear

    def __init__(self, arch: Architecture, scheme: Scheme, layer: int, bits: Bits) -> None:
        super().__init__()
        self.arch = arch
        self._linears(scheme, layer, bits)
        norm, width = scheme.norm(arch.width), scheme.activation_bits
        v, up = scheme.v[layer], scheme.up[layer]
        self.attn_norm, self.ffn_norm = fixed(norm, width), fixed(norm, width)
        self.q, self.k, self.v = fixed(scheme.q), fixed(scheme.k), fixed(v)
        self.q_turned, self.k_turned = fixed(scheme.q), fixed(scheme.key, scheme.kv_bits)
        self.v_kept = fixed(scheme.value(layer), scheme.kv_bits)
        self.attention = QuantAttention(arch, scheme, layer)
        self.gate, self.silu, self.up = fixed(scheme.gate), fixed(scheme.silu), fixed(up)
        self.glu = fixed(scheme.glu(layer), scheme.glu_bits)
        self.attn_branch, self.ffn_branch = fixed(scheme.residual, 16), fixed(scheme.residual, 16)
        self.attn_residual, self.ffn_residual = fixed(scheme.residual, 16), fixed(scheme.residual, 16)

    def _linears(self, scheme: Scheme, layer: int, bits: Bits) -> None:
        arch, steps = self.arch, scheme.steps(self.arch, layer)
        inputs = {
            "qkv": arch.width,
            "attn_out": arch.attention_width,
            "gate_up": arch.width,
            "down": arch.ffn,
        }
        for kind, count in inputs.items():
            unit = scheme.grid(kind, *steps[kind])
            setattr(self, kind, linear(count, unit, bits.of(kind, layer), scheme.largest_mult(kind)))

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = split_heads(self.qkv(self.attn_norm(rms_norm(x))), self.arch)
        q, k = self.q_turned(rotate(self.q(q), cos, sin)), self.k_turned(rotate(self.k(k), cos, sin))
        v = self.v_kept(self.v(v))
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

    def __init__(self, arch: Architecture, scheme: Scheme, bits: Bits) -> None:
        super().__init__()
        self.arch, self.scheme = arch, scheme
        step = scheme.embedding / scheme.embed_gain
        self.embedding = embedding(arch.vocab, arch.width, step, scheme.embedding_bits)
        unit = scheme.grid("head", *scheme.steps(arch, 0)["head"])
        self.head = linear(arch.width, unit, bits.head, scheme.largest_mult("head"))
        self.head.weight = self.embedding.weight
        self.blocks = nn.ModuleList(QuantBlock(arch, scheme, i, bits) for i in range(arch.layers))
        norm = scheme.norm(arch.width)
        self.final_norm, self.logits = fixed(norm, scheme.activation_bits), fixed(scheme.logits, 16)
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
