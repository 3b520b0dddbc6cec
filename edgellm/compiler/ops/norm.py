"""RMSNorm without gain: int16 residual to int8 activations."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any

from edgellm.compiler.ops.base import Block, Cost, Int64, Stream, register
from edgellm.numerics import ops

ROOT_CYCLES = 30  # digit-recurrence inverse root, overlapped with loading and emitting


@register
class RMSNorm(Block):
    """One vector of N int16 in, N int8 out, PE lanes a cycle."""

    MODULE = "rms_norm"
    ATTRIBUTES = {"N": ("i", True, 0), "PE": ("i", True, 0), "NormShift": ("i", True, 0)}
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT16"),)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT8"),)

    def parameters(self) -> dict[str, int]:
        return {"N": self.attr("N"), "PE": self.attr("PE"), "NORM_SHIFT": self.attr("NormShift")}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        return (ops.rms_norm(inputs[0], self.attr("NormShift")),)

    def interval(self) -> int:
        return max(self.attr("N") // self.attr("PE"), ROOT_CYCLES)

    def latency(self) -> int:
        return ROOT_CYCLES + self.attr("N") // self.attr("PE") + 12

    def cost(self) -> Cost:
        pe = self.attr("PE")
        return Cost(lut=360 + 55 * pe, ff=400 + 120 * pe, dsp=2 * pe, source="Yosys fit")
