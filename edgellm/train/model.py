"""The float decoder: Llama shape, RMSNorm without gain, RoPE on adjacent pairs, grouped-query attention, SwiGLU, tied head.

Weights of one kind are fused as the integer model has them: `qkv` (q heads, k heads, v heads) and `gate_up` (gate, up).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgellm.numerics.model import Architecture

ROPE_THETA = 10_000.0
NORM_EPS = 1e-7
EMBEDDING_STD = 0.02
Cache = list[tuple[Tensor, Tensor] | None]  # per layer: keys, values [batch, kv_heads, time, head_dim]


def rope_tables(context: int, head_dim: int, theta: float = ROPE_THETA) -> tuple[Tensor, Tensor]:
    """cos, sin [context, head_dim/2] float32 of the angle position * theta^(-2i/head_dim)."""
    rates = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(context, dtype=torch.float64), rates)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate adjacent pairs of x [..., time, head_dim] by the angle of each position."""
    if torch.onnx.is_in_onnx_export():  # which knows no complex numbers
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))  # there is no complex bfloat16
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Grouped-query attention: q [batch, heads, time, dim], k and v [batch, kv_heads, keys, dim] -> as q.

    Written out because lines are short: the library's blocked kernel takes twice as long on a CPU.
    """
    batch, heads, time, dim = q.shape
    grouped = q.reshape(batch, k.shape[1], -1, dim)
    scores = (grouped @ k.transpose(-1, -2)).view(batch, heads, time, -1) / math.sqrt(dim)
    if causal:
        scores = scores + torch.full((time, time), -torch.inf, device=q.device).triu(1)
    mixed = scores.softmax(-1).view(batch, k.shape[1], -1, scores.shape[-1]) @ v
    return mixed.view(batch, heads, time, dim)


def rms_norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), None, NORM_EPS)


def split_heads(qkv: Tensor, arch: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    """[batch, time, qkv_width] -> q, k, v [batch, heads, time, head_dim]."""
    batch, time, _ = qkv.shape
    heads = qkv.view(batch, time, -1, arch.head_dim).transpose(1, 2)
    q, k, v = torch.split(heads, [arch.heads, arch.kv_heads, arch.kv_heads], 1)
    return q, k, v


class Block(nn.Module):
    """One decoder layer."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.qkv = nn.Linear(arch.width, arch.qkv_width, bias=False)
        self.attn_out = nn.Linear(arch.attention_width, arch.width, bias=False)
        self.gate_up = nn.Linear(arch.width, 2 * arch.ffn, bias=False)
        self.down = nn.Linear(arch.ffn, arch.width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = split_heads(self.qkv(rms_norm(x)), self.arch)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        mixed = attend(q, k, v, causal=past is None)
        x = x + self.attn_out(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(rms_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up), (k, v)


class Decoder(nn.Module):
    """Token ids [batch, time] -> logits [batch, time, vocab]."""

    cos: Tensor
    sin: Tensor

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.embedding = nn.Embedding(arch.vocab, arch.width)
        self.blocks = nn.ModuleList(Block(arch) for _ in range(arch.layers))
        cos, sin = rope_tables(arch.context, arch.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embedding.weight, 0.0, EMBEDDING_STD)
        for name, weight in self.blocks.named_parameters():
            nn.init.normal_(weight, 0.0, 1 / math.sqrt(weight.shape[1]))
            if "attn_out" in name or "down" in name:
                weight.data /= math.sqrt(2 * self.arch.layers)

    def block(self, layer: int) -> Block:
        return cast(Block, self.blocks[layer])

    def forward(self, ids: Tensor) -> Tensor:
        return self.step(ids, [None] * self.arch.layers)[0]

    def step(self, ids: Tensor, caches: Cache) -> tuple[Tensor, Cache]:
        """Logits and the caches grown by `ids`; after the first call `ids` must be one token wide."""
        past = caches[0]
        start = 0 if past is None else past[0].shape[2]
        cos, sin = (table[start : start + ids.shape[1]] for table in (self.cos, self.sin))
        x = self.embedding(ids)
        grown: Cache = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, kept = block(x, cos, sin, cache)
            grown.append(kept)
        return F.linear(rms_norm(x), self.embedding.weight), grown


@dataclass(frozen=True, slots=True)
class Sections:
    """How many rows of a fused weight belong to each matrix in it."""

    qkv: tuple[int, ...]
    gate_up: tuple[int, ...]


def sections(arch: Architecture) -> Sections:
    kv = arch.kv_heads * arch.head_dim
    return Sections((arch.attention_width, kv, kv), (arch.ffn, arch.ffn))


def parameter_count(arch: Architecture) -> int:
    """Parameters with the tied head counted once."""
    layer = arch.width * (arch.qkv_width + arch.attention_width + 3 * arch.ffn)
    return arch.vocab * arch.width + arch.layers * layer
