"""Requantise: accumulators to int8 activations, to int16 logits, or added to the int16 residual."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from qonnx.core.datatype import DataType

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops.base import (
    SELECTOR,
    SIGNALS,
    Attributes,
    Block,
    Int64,
    Stream,
    Table,
    integers,
    register,
)
from edgellm.numerics import ops


@register
class Requantise(Block):
    """`clip8((acc * mult + bias) >> shift)` with the parameter set that the selector names.

    Constants: mult, bias int32 [sets, N].
    """

    MODULE = "requantise"
    ATTRIBUTES: ClassVar[Attributes] = {
        **integers("N", "PE", "Sets", "Shift", "MultBits", "BiasBits"),  # BiasBits 0: every bias is Bias
        "Bias": ("i", False, 0),
        "accDataType": ("s", True, ""),
    }
    FOLDING = ("PE",)
    OUT = "INT8"
    SELECTED = True  # has a selector stream
    ADDS = False  # has a residual stream

    def stream_inputs(self) -> tuple[Stream, ...]:
        acc = Stream(self.attr("N"), self.attr("PE"), self.get_nodeattr("accDataType"))
        selector = (SELECTOR,) if self.SELECTED else ()
        return (acc, *selector, *(self.stream_outputs() if self.ADDS else ()))

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), self.OUT),)

    def infer_node_datatype(self, model: Any) -> None:
        """MinimizeAccumulatorWidth narrows the MVAU's output: follow it."""
        self.set_nodeattr("accDataType", model.get_tensor_datatype(self.onnx_node.input[0]).name)
        super().infer_node_datatype(model)

    def acc_bits(self) -> int:
        return int(DataType[self.get_nodeattr("accDataType")].bitwidth())

    def parameters(self) -> dict[str, int | str]:
        return {
            "N": self.attr("N"),
            "PE": self.attr("PE"),
            "LAYERS": self.attr("Sets"),
            "AW": self.acc_bits(),
            "MW": self.attr("MultBits"),
            "BW": max(1, self.attr("BiasBits")),
            "BIAS_TABLE": int(not self.one_bias()),
            "BIAS": self.attr("Bias"),
            "ROM_STYLE": costs.memory_style(self.attr("Sets") * self.attr("N") // self.attr("PE")),
            "SHIFT": self.attr("Shift"),
            "OW": self.stream_outputs()[0].bits,
            "ADD": int(self.ADDS),
        }

    def stream_pins(self) -> list[str]:
        """A use without selector or residual leaves the module's ports for them idle."""
        pins, port = [], 0
        for name, used in (("in0", True), ("in1", self.SELECTED), ("in2", self.ADDS), ("out0", True)):
            outer = name if name.startswith("out") else f"in{port}"
            idle = {"TDATA": "'0", "TVALID": "1'b0", "TREADY": ""}
            pins += [f".{name}_V_{s}({f'{outer}_V_{s}' if used else idle[s]})" for s in SIGNALS]
            port += used
        return pins

    def one_bias(self) -> bool:
        """All biases are one number, so the module takes it as a parameter."""
        return not self.attr("BiasBits")

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        mult, bias = (c.reshape(-1, self.attr("PE")) for c in constants)
        width = self.attr("MultBits")
        if self.one_bias():
            return {"TABLE_FILE": Table(mult, width)}
        rows = mult | (bias & ((1 << self.attr("BiasBits")) - 1)) << width
        return {"TABLE_FILE": Table(rows, width + self.attr("BiasBits"))}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        acc, selector, mult, bias = inputs
        chosen = int(selector[0])
        return (ops.requantise(acc, mult[chosen], bias[chosen], self.attr("Shift")),)

    def latency(self) -> int:
        return timing.PIPELINE

    def cost(self, fpgapart: str) -> Cost:
        entry = self.attr("MultBits") + self.attr("BiasBits")
        return costs.requantise(self.attr("N"), self.attr("PE"), self.attr("Sets"), entry, self.ADDS)


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
