"""RMSNorm without gain: int16 residual to activations of at most 8 bits."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops.base import Attributes, Block, Int64, Stream, bits, integers, register
from edgellm.numerics import ops


@register
class RMSNorm(Block):
    """One vector of N int16 in, N int8 within OutBits bits out, PE lanes a cycle."""

    MODULE = "rms_norm"
    ATTRIBUTES: ClassVar[Attributes] = {**integers("N", "PE", "NormShift"), **bits("OutBits")}
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT16"),)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT8"),)

    def parameters(self) -> dict[str, int | str]:
        return {
            "N": self.attr("N"),
            "PE": self.attr("PE"),
            "NORM_SHIFT": self.attr("NormShift"),
            "ROOT_DIGITS": timing.DIGITS_A_CYCLE,
            "OUT_BITS": self.attr("OutBits"),
        }

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        return (ops.rms_norm(inputs[0], self.attr("NormShift"), self.attr("OutBits")),)

    def interval(self) -> int:
        return timing.norm_interval(self.attr("N"), self.attr("PE"))

    def latency(self) -> int:
        return timing.norm_latency(self.attr("N"), self.attr("PE"))

    def cost(self, fpgapart: str) -> Cost:
        return costs.rms_norm(self.attr("N"), self.attr("PE"), costs.dsp_kind(fpgapart))
