"""Embedding look-up."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

from edgellm.compiler import costs
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops import tags
from edgellm.compiler.ops.base import (
    TAG,
    TAG_BYTES,
    TOKEN,
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


@register
class Embedding(Block):
    """Token in, residual vector of N int16 and the token's tag out. Constant: table [vocab, N] within Bits bits."""

    MODULE = "embedding"
    ATTRIBUTES: ClassVar[Attributes] = {**integers("Vocab", "N", "PE", "EmbedShift"), **bits("Bits")}
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (TOKEN,)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT16"), TAG)

    def parameters(self) -> dict[str, int | str]:
        names = {"VOCAB": "Vocab", "N": "N", "PE": "PE", "EMBED_SHIFT": "EmbedShift", "BITS": "Bits"}
        return {parameter: self.attr(name) for parameter, name in names.items()}

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        return {"TABLE_FILE": Table(constants[0].reshape(-1, self.attr("PE")), self.attr("Bits"))}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        value, table = tags.number(inputs[0]), inputs[1]
        row = min(tags.index(value), self.attr("Vocab") - 1)
        residual = ops.embed(table, row, self.attr("EmbedShift"))
        return residual, tags.record(value & 0xFFFFFFFF, TAG_BYTES)

    def interval(self) -> int:
        return max(2, self.attr("N") // self.attr("PE"))

    def latency(self) -> int:
        return 3 + self.attr("N") // self.attr("PE")

    def cost(self, fpgapart: str) -> Cost:
        return costs.embedding(self.attr("Vocab"), self.attr("N"), self.attr("PE"), self.attr("Bits"))
