"""Models made for a benchmark's cycles, resources and clock, none of which depends on what the weights are.

Their answers mean nothing.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx

from edgellm.export.graph import build_onnx
from edgellm.numerics.model import Architecture, Block, IntegerModel, Linear
from edgellm.numerics.random import random_model

TERNARY, TERNARY_BITS = "-ternary", 2
SMALL = Architecture(vocab=128, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, ffn=64, context=64)


def ternary(model: IntegerModel) -> IntegerModel:
    """The ternary twin: same shape and scales, every block's weights rounded to -1, 0, 1; the head stays as it is.

    A model that is to answer well is trained as a ternary one (docs/training.md).
    """
    blocks = tuple(
        Block(**{part.name: _rounded(getattr(block, part.name)) for part in fields(Block)})
        for block in model.blocks
    )
    return replace(model, blocks=blocks)


def _rounded(linear: Linear) -> Linear:
    half = (1 << (linear.weight_bits - 1)) // 4
    weight = np.sign(linear.weight) * (np.abs(linear.weight) > half)
    return replace(linear, weight=weight.astype(np.int8), weight_bits=TERNARY_BITS)


def small() -> IntegerModel:
    """A decoder complete in all its parts that a small FPGA's tools place in minutes: random weights of 4 bits."""
    return random_model(SMALL, seed=1)


def save(model: IntegerModel, folder: Path) -> Path:
    """A model folder with nothing but the integer model in it."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build_onnx(model), str(folder / "model.onnx"))
    return folder
