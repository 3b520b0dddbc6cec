"""Requantise: accumulators to int8 activations, to int16 logits, or added to the int16 residual."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from edgellm.compiler.ops.base import (
    SELECTOR,
    Block,
    Cost,
    Int64,
    Stream,
    Table,
    bram18,
    lutram,
    register,
)
from edgellm.numerics import ops

_ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "N": ("i", True, 0),
    "PE": ("i", True, 0),
    "Sets": ("i", True, 0),
    "Shift": ("i", True, 0),
    "MultBits": ("i", True, 0),
    "BiasBits": ("i", True, 0),
    "accDataType": ("s", True, ""),
}


@register
class Requantise(Block):
    """`clip8((acc * mult + bias) >> shift)` with the parameter set that the selector names.

    Constants: mult, bias int32 [sets, N].
    """

    MODULE = "requantise"
    ATTRIBUTES = _ATTRIBUTES
    FOLDING = ("PE",)
    OUT = "INT8"
    SELECTED = True  # has a selector stream
    ADDS = False  # has a residual stream

    def stream_inputs(self) -> tuple[Stream, ...]:
        acc = Stream(self.attr("N"), self.attr("PE"), self.attr("accDataType"))
        selector = (SELECTOR,) if self.SELECTED else ()
        return (acc, *selector, *(self.stream_outputs() if self.ADDS else ()))

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), self.OUT),)

    def infer_node_datatype(self, model: Any) -> None:
        """MinimizeAccumulatorWidth narrows the MVAU's output: follow it."""
        self.set_nodeattr("accDataType", model.get_tensor_datatype(self.onnx_node.input[0]).name)
        super().infer_node_datatype(model)

    def acc_bits(self) -> int:
        return int(DataType[self.attr("accDataType")].bitwidth())

    def parameters(self) -> dict[str, int]:
        return {
            "N": self.attr("N"),
            "PE": self.attr("PE"),
            "LAYERS": self.attr("Sets"),
            "AW": self.acc_bits(),
            "MW": self.attr("MultBits"),
            "BW": self.attr("BiasBits"),
            "SHIFT": self.attr("Shift"),
            "OW": self.stream_outputs()[0].bits,
            "ADD": int(self.ADDS),
        }

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        mult, bias = (c.reshape(-1, self.attr("PE")) for c in constants)
        width = self.attr("MultBits")
        rows = (mult & ((1 << width) - 1)) | (bias & ((1 << self.attr("BiasBits")) - 1)) << width
        return {"TABLE_FILE": Table(rows, width + self.attr("BiasBits"))}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        acc, selector, mult, bias = inputs
        chosen = int(selector[0])
        return (ops.requantise(acc, mult[chosen], bias[chosen], self.attr("Shift")),)

    def latency(self) -> int:
        return 6

    def cost(self) -> Cost:
        pe, row = self.attr("PE"), self.attr("PE") * (self.attr("MultBits") + self.attr("BiasBits"))
        rows = self.attr("Sets") * self.attr("N") // pe
        lut = 50 + 60 * pe + (20 * pe if self.ADDS else 0) + lutram(rows, row)
        return Cost(lut=lut, ff=60 + 150 * pe, dsp=pe, bram18=bram18(rows, row), source="Yosys fit")


@register
class RequantiseAdd(Requantise):
    """`clip16(residual + ((acc * mult + bias) >> shift))`."""

    OUT, ADDS = "INT16", True

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        acc, selector, residual, mult, bias = inputs
        chosen = int(selector[0])
        return (ops.add_residual(acc, mult[chosen], bias[chosen], self.attr("Shift"), residual),)


@register
class Logits(Requantise):
    """`clip16((acc * mult + bias) >> shift)`, one parameter set, no selector."""

    OUT, SELECTED = "INT16", False

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        acc, mult, bias = inputs
        return (ops.logits(acc, mult[0], bias[0], self.attr("Shift")),)


def signed_bits(values: Int64) -> int:
    """Bits that hold every value in two's complement."""
    low, high = int(np.min(values)), int(np.max(values))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1
