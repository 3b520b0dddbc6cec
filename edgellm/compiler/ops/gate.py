"""SiLU gate: pairs (gate, up) of int8 to their gated product."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops.base import Attributes, Block, Int64, Stream, Table, bits, integers, register
from edgellm.numerics import ops


@register
class SiLUGate(Block):
    """Channels arrive as g0, u0, g1, u1, ...; PE pairs a cycle. Constant: silu table int8 [256]."""

    MODULE = "silu_gate"
    ATTRIBUTES: ClassVar[Attributes] = {**integers("N", "PE", "GluShift"), **bits("OutBits")}
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(2 * self.attr("N"), 2 * self.attr("PE"), "INT8"),)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT8"),)

    def parameters(self) -> dict[str, int | str]:
        names = {"PE": "PE", "GLU_SHIFT": "GluShift", "OUT_BITS": "OutBits"}
        return {parameter: self.attr(name) for parameter, name in names.items()}

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        return {"TABLE_FILE": Table(constants[0].reshape(-1, 1), 8)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        x, table = inputs
        halves = np.concatenate([x[0::2], x[1::2]])
        return (ops.silu_gate(halves, table, self.attr("GluShift"), self.attr("OutBits")),)

    def latency(self) -> int:
        return timing.PIPELINE

    def cost(self, fpgapart: str) -> Cost:
        return costs.silu_gate(self.attr("PE"))
