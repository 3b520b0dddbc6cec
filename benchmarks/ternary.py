"""A ternary twin of a shipped model, for cycles and resources: same shape and scales, every block's weights rounded to -1, 0, 1.

Neither depends on what the weights are, and a model that is to answer well is trained as a ternary one (docs/training.md);
the twin's answers mean nothing.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx

from edgellm.export.graph import build_onnx
from edgellm.numerics import onnxfile
from edgellm.numerics.model import Block, IntegerModel, Linear

SUFFIX, BITS = "-ternary", 2


def twin(model: IntegerModel) -> IntegerModel:
    """The model with ternary blocks; the head stays as it is."""
    blocks = tuple(
        Block(**{part.name: _rounded(getattr(block, part.name)) for part in fields(Block)})
        for block in model.blocks
    )
    return replace(model, blocks=blocks)


def _rounded(linear: Linear) -> Linear:
    half = (1 << (linear.weight_bits - 1)) // 4
    weight = np.sign(linear.weight) * (np.abs(linear.weight) > half)
    return replace(linear, weight=weight.astype(np.int8), weight_bits=BITS)


def write(source: Path, folder: Path) -> Path:
    """A model folder with nothing but the twin of `source` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build_onnx(twin(onnxfile.load(source / "model.onnx"))), str(folder / "model.onnx"))
    return folder
