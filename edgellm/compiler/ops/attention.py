"""Causal attention with keys and values on chip."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
from edgellm.numerics.model import Widths

Caches = tuple[NDArray[np.int8], NDArray[np.int8]]  # keys, values [layers*slots, kv_heads, context, head_dim]

# Python execution makes a new object for every call, so the caches live here, by node name.
_caches: dict[str, Caches] = {}


def forget() -> None:
    """Empty the caches of Python execution."""
    _caches.clear()


@register
class CausalAttention(Block):
    """Heads q, k, v of one token in, attention heads out; keys and values kept per (layer, slot, position).

    PT positions a cycle, OM output lanes in the scaling stage; KVBits bits kept of a key or value, OutBits of the result.
    Constant: exp table uint8 [256].
    """

    MODULE = "causal_attention"
    ATTRIBUTES: ClassVar[Attributes] = {
        **integers("Heads", "KVHeads", "HeadDim", "Context", "Slots", "Layers"),
        **integers("PT", "OM", "ScoreMult", "ScoreShift"),
        **bits("KVBits", "OutBits"),
        "RamStyle": ("s", False, "auto"),
    }
    FOLDING = ("PT", "OM")

    def stream_inputs(self) -> tuple[Stream, ...]:
        hd = self.attr("HeadDim")
        return (Stream((self.attr("Heads") + 2 * self.attr("KVHeads")) * hd, hd, "INT8"), BLOCK_TAG)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("Heads") * self.attr("HeadDim"), self.attr("HeadDim"), "INT8"),)

    def parameters(self) -> dict[str, int | str]:
        names = {
            "HEADS": "Heads",
            "KV_HEADS": "KVHeads",
            "HEAD_DIM": "HeadDim",
            "CONTEXT": "Context",
            "SLOTS": "Slots",
            "LAYERS": "Layers",
            "PT": "PT",
            "OM": "OM",
            "SCORE_MULT": "ScoreMult",
            "SCORE_SHIFT": "ScoreShift",
            "KV_BITS": "KVBits",
            "OUT_BITS": "OutBits",
        }
        numbers: dict[str, int | str] = {parameter: self.attr(name) for parameter, name in names.items()}
        return {**numbers, "RAM_STYLE": self.get_nodeattr("RamStyle")}

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        return {"EXP_FILE": Table(constants[0].reshape(-1, 1), 8)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        x, tag, exp_table = inputs
        value = tags.number(tag)
        heads = x.reshape(-1, self.attr("HeadDim"))
        query, new = heads[: self.attr("Heads")], heads[self.attr("Heads") :]
        keys, values = self._cache()
        memory = tags.layer(value) * self.attr("Slots") + tags.slot(value)
        at = tags.position(value)
        keys[memory, :, at], values[memory, :, at] = np.split(new.astype(np.int8), 2)
        seen = np.s_[memory, :, : at + 1]
        mult, shift = self.attr("ScoreMult"), self.attr("ScoreShift")
        widths = Widths(activation=self.attr("OutBits"), kv=self.attr("KVBits"))
        return (ops.attention(query, keys[seen], values[seen], exp_table, mult, shift, widths),)

    def _cache(self) -> Caches:
        name = self.onnx_node.name
        if name not in _caches:
            memories = self.attr("Layers") * self.attr("Slots")
            shape = (memories, self.attr("KVHeads"), self.attr("Context"), self.attr("HeadDim"))
            _caches[name] = (np.zeros(shape, np.int8), np.zeros(shape, np.int8))
        return _caches[name]

    def interval_at(self, position: int) -> int:
        """Cycles from one token to the next at a position."""
        return timing.attention_interval(*self._shape(), position)

    def interval(self) -> int:
        """At the last position of the context."""
        return self.interval_at(self.attr("Context") - 1)

    def latency_at(self, position: int) -> int:
        """Cycles from the last input beat to the last output beat of a token at a position."""
        shape = self._shape()
        return timing.attention_first(*shape, position, 1) + timing.attention_span(*shape, position)

    def latency(self) -> int:
        return self.latency_at(self.attr("Context") - 1)

    def _shape(self) -> tuple[int, int, int, int, int]:
        heads, kv_heads, head_dim, pt, om = (
            self.attr(n) for n in ("Heads", "KVHeads", "HeadDim", "PT", "OM")
        )
        return heads, kv_heads, head_dim, pt, om

    def uram_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).uram

    def cost(self, fpgapart: str) -> Cost:
        heads, kv_heads, head_dim, pt, om = self._shape()
        memories = self.attr("Layers") * self.attr("Slots")
        ultra = self.get_nodeattr("RamStyle") == "ultra"
        shape = heads, kv_heads, head_dim, self.attr("Context"), memories
        return costs.attention(*shape, pt, om, ultra, costs.dsp_kind(fpgapart), self.attr("KVBits"))
