"""Small designs compiled once a test run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from edgellm.compiler import folding
from edgellm.compiler.compile import compile_model
from edgellm.compiler.folding import Folding
from edgellm.export.graph import build_onnx
from edgellm.numerics.model import Architecture, IntegerModel
from edgellm.numerics.random import random_model

_places: list[TemporaryDirectory[str]] = []  # they go when the test run ends


def write_model(model: IntegerModel, folder: Path) -> Path:
    """A model folder with nothing but the integer model in it."""
    folder.mkdir(parents=True)
    onnx.save(build_onnx(model), str(folder / "model.onnx"))
    return folder


def random_folding(arch: Architecture, seed: int, most: int = 8) -> Folding:
    """Legal factors of at most `most`, drawn at random."""
    rng = np.random.default_rng(seed)
    nodes = {
        node: {name: int(rng.choice([v for v in values if v <= most])) for name, values in factors.items()}
        for node, factors in folding.legal(arch).items()
    }
    return Folding(nodes)


@cache
def design(arch: Architecture, seed: int = 1, folded: int | None = None) -> Path:
    """Design folder of a random model; `folded` is the seed of a random folding."""
    _places.append(TemporaryDirectory(prefix="edgellm-test-"))
    place = Path(_places[-1].name)
    model = write_model(random_model(arch, seed), place / "toy")
    factors = None if folded is None else random_folding(arch, folded)
    compile_model(model, "aup-zu3", place / "design", factors)
    return place / "design"
