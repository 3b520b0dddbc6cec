"""Brevitas quantisers as the integer contract needs them: weight scales on a grid, halves rounded up."""

from __future__ import annotations

from typing import Any

import torch
from brevitas.core.function_wrapper import TensorClamp
from brevitas.nn import QuantEmbedding, QuantIdentity, QuantLinear
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import Tensor, nn

MULT_MAX = 255  # 8 bits of multiplier per channel
NUDGE = 2.0**-12  # of a step: far below the fractions that multipliers and shifts make
# Step over mean |w|, by weight bits. Ternary: weights above 0.7 mean |w| are +-1. 3 bits: the step of least square
# error for seven levels of a normal distribution, 0.65 standard deviations
MEAN_STEPS = {2: 1.4, 3: 0.82}


def weight_scale(weight: Tensor, bits: int) -> Tensor:
    """Step of each channel before it is put on the grid: weight [N, K] -> [N, 1].

    From 4 bits on the largest weight is the largest integer. Fewer levels clip: their steps are multiples of the mean
    magnitude (ternary: Li et al. 2016, "Ternary Weight Networks"; 3 bits: Max 1960, "Quantizing for Minimum Distortion").
    """
    if bits in MEAN_STEPS:
        return weight.abs().mean(1, keepdim=True) * MEAN_STEPS[bits]
    return weight.abs().amax(1, keepdim=True) / ((1 << (bits - 1)) - 1)


class GridScaling(nn.Module):
    """scale[c] = m[c] * unit[c] with a whole m in 1..largest nearest to `weight_scale` (straight-through estimator)."""

    unit: Tensor

    def __init__(self, unit: Tensor, bits: int, largest: int = MULT_MAX) -> None:
        super().__init__()
        self.bits, self.largest = bits, largest
        self.register_buffer("unit", unit.float().reshape(-1, 1), persistent=False)

    def forward(self, weight: Tensor, threshold: Tensor) -> Tensor:
        """weight [N, K] -> scale [N, 1]; `threshold`, the largest integer weight, follows from the width."""
        wanted = weight_scale(weight, self.bits)
        mult = (wanted / self.unit).round().clamp(1, self.largest)
        return wanted + (mult * self.unit - wanted).detach()


def linear(inputs: int, unit: Tensor, bits: int, largest: int = MULT_MAX) -> QuantLinear:
    """A linear layer with narrow `bits`-bit weights per output channel, scales on the grid."""

    class GridWeight(Int8WeightPerChannelFloat):  # type: ignore[misc]
        bit_width = bits
        scaling_impl = GridScaling(unit, bits, largest)
        # What saturates passes no gradient: else its overshoot falls on the scale
        tensor_clamp_impl = TensorClamp

    return QuantLinear(inputs, len(unit), bias=False, weight_quant=GridWeight)


class OnGrid(torch.autograd.Function):
    """Round to multiples of `step`, halves up, and saturate; the gradient passes where nothing saturated.

    The straight-through estimator (Bengio et al. 2013) of Brevitas in a third of its operators.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, bits: int) -> Tensor:
        level = x * (1 / step)
        level.add_(NUDGE).round_()
        kept = level.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        ctx.save_for_backward(
            level.sub_(kept).abs_().clamp_(max=1)
        )  # 1 where saturated: cheaper than a mask of bools
        return kept.mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (saturated,) = ctx.saved_tensors
        return gradients[0].addcmul(gradients[0], saturated, value=-1), None, None


class HalfUp(QuantIdentity):  # type: ignore[misc]
    """Rounds halves up as the contract does, where Brevitas rounds them to even: products of integers meet many exact halves.

    Brevitas' own quantiser is what is exported; training takes the same values from `OnGrid`.
    """

    def __init__(self, step: float, bits: int, **options: Any) -> None:
        super().__init__(**options)
        self.step, self.bits = step, bits

    def forward(self, x: Tensor) -> Tensor:
        if self.export_mode:
            return super().forward(x + self.step * NUDGE)  # type: ignore[no-any-return]
        quantised: Tensor = OnGrid.apply(x, self.step, self.bits)  # type: ignore[no-untyped-call]
        return quantised


def fixed(step: float, bits: int = 8) -> HalfUp:
    """Rounds to multiples of `step` and saturates to `bits` bits."""

    class Fixed(Int8ActPerTensorFloat):  # type: ignore[misc]
        bit_width = bits
        scaling_impl_type = "const"
        scaling_init = step * 2 ** (bits - 1)
        restrict_scaling_type = "fp"

    return HalfUp(step, bits, act_quant=Fixed, return_quant_tensor=False)


def embedding(tokens: int, width: int, step: float, bits: int = 8) -> QuantEmbedding:
    """Embedding [tokens, width] of one fixed scale, narrow `bits`-bit integers."""

    class Fixed(Int8WeightPerTensorFloat):  # type: ignore[misc]
        bit_width = bits
        scaling_impl_type = "const"
        scaling_init = step * ((1 << (bits - 1)) - 1)
        restrict_scaling_type = "fp"

    return QuantEmbedding(tokens, width, weight_quant=Fixed)
