"""Rotary position embedding on the q and k heads of a vector; the v heads pass."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops import tags
from edgellm.compiler.ops.base import (
    BLOCK_TAG,
    Attributes,
    Block,
    Int64,
    Stream,
    Table,
    bits,
    integers,
    register,
)
from edgellm.numerics import ops

COEFFICIENT_BITS = 15  # Q13 cos or sin, -8192..8192


@register
class RoPE(Block):
    """`Rotated` heads are turned by their position, `Passed` heads follow; PE channels a cycle.

    The last `Passed` rotated heads (keys) and the passed ones (values) are narrowed to KVBits bits.
    Constants: cos, sin int16 [context, head_dim/2].
    """

    MODULE = "rope"
    ATTRIBUTES: ClassVar[Attributes] = {
        **integers("Rotated", "Passed", "HeadDim", "PE", "Context"),
        **bits("KVBits"),
    }
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (*self.stream_outputs(), BLOCK_TAG)

    def stream_outputs(self) -> tuple[Stream, ...]:
        elements = (self.attr("Rotated") + self.attr("Passed")) * self.attr("HeadDim")
        return (Stream(elements, self.attr("PE"), "INT8"),)

    def parameters(self) -> dict[str, int | str]:
        names = {
            "NR": "Rotated",
            "NP": "Passed",
            "HD": "HeadDim",
            "PE": "PE",
            "T": "Context",
            "KV_BITS": "KVBits",
        }
        numbers: dict[str, int | str] = {parameter: self.attr(name) for parameter, name in names.items()}
        rows = self.attr("Context") * self.attr("HeadDim") // self.attr("PE")
        return {**numbers, "ROM_STYLE": costs.memory_style(rows)}

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        pairs = np.stack(constants, axis=-1)  # [context, head_dim/2, (cos, sin)]
        return {"TABLE_FILE": Table(pairs.reshape(-1, self.attr("PE")), COEFFICIENT_BITS)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        x, tag, cos, sin = inputs
        at = tags.position(tags.number(tag))
        heads, kv_bits = self.attr("Rotated"), self.attr("KVBits")
        return (ops.rope_qkv(x, heads, self.attr("HeadDim"), cos[at], sin[at], kv_bits),)

    def latency(self) -> int:
        return timing.PIPELINE

    def cost(self, fpgapart: str) -> Cost:
        return costs.rope(self.attr("Context"), self.attr("HeadDim"), self.attr("PE"))
