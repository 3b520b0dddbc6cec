"""What an integer model is made of: shapes, widths and tables, and nothing that executes.

Every array is exactly what the integer ONNX file holds (see docs/numerics.md for meaning and bounds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import ModelCorrupt

Int = NDArray[np.integer[Any]]
LOGIT_STEP_KEY = "edgellm.logit_step"  # metadata: the real value of one step of the logits, in decimal


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a Llama-style decoder."""

    vocab: int
    width: int  # residual stream, d
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    context: int

    @property
    def qkv_width(self) -> int:
        """Output channels of the fused projection: heads q, then kv_heads k, then kv_heads v."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def attention_width(self) -> int:
        return self.heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Numerics:
    """Constants of the integer arithmetic, one set per model."""

    norm_shift: int  # RMSNorm output: (r * floor(2^24 / sqrt(sum r^2)) + half) >> norm_shift
    score_mult: int  # exponent index = (max - score) * score_mult >> score_shift
    score_shift: int
    glu_shift: int  # SiLU gate: (silu[g] * u + half) >> glu_shift
    embed_shift: int  # residual = embedding int8 << embed_shift


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of what flows and what is kept, one set per model; narrow numbers lie in int8 containers."""

    activation: int = 8  # what RMSNorm and attention give; 4 or 8
    kv: int = 8  # keys and values in the cache; 4 or 8
    embedding: int = 8  # 2..8
    glu: int = 8  # what the SiLU gate gives; 4 or 8


@dataclass(frozen=True, slots=True)
class Linear:
    """y = clip((x @ weight * mult + bias) >> shift); the rounding half is inside bias."""

    weight: Int  # int8 [K, N], |w| <= 2^(weight_bits-1)-1
    mult: Int  # int32 [N], 1..65535
    bias: Int  # int32 [N]
    shift: int
    weight_bits: int


@dataclass(frozen=True, slots=True)
class Block:
    """One decoder layer."""

    qkv: Linear  # width -> qkv_width, int8 out
    attn_out: Linear  # attention_width -> width, added to the residual
    gate_up: Linear  # width -> 2*ffn (gate channels first, then up), int8 out
    down: Linear  # ffn -> width, added to the residual


@dataclass(frozen=True, slots=True)
class IntegerModel:
    """A whole model: what golden, ONNX Runtime and the compiler all read."""

    arch: Architecture
    numerics: Numerics
    embedding: Int  # int8 [vocab, width]
    blocks: tuple[Block, ...]
    head: Linear  # width -> vocab, int16 logits
    exp_table: Int  # uint8 [256], exp_table[0] == 255
    silu_table: Int  # int8 [256], index gate + 128
    rope_cos: Int  # int16 [context, head_dim/2], Q13 (8192 is 1.0)
    rope_sin: Int  # int16 [context, head_dim/2]
    widths: Widths = Widths()
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def logit_step(self) -> float | None:
        """Nats of one logit step; None in files that do not say. Raises: ModelCorrupt."""
        text = self.metadata.get(LOGIT_STEP_KEY)
        if text is None:
            return None
        try:
            step = float(text)
        except ValueError:
            step = math.nan
        if not 0 < step < math.inf:
            raise ModelCorrupt(
                f"metadata {LOGIT_STEP_KEY} is {text!r}, not a positive number: export the model again"
            )
        return step
