"""Compiled designs of narrow models in Verilator: every stream equals the golden model, whatever has which width."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from compiled import random_folding, write_model
from shapes import NARROW_HEADS, TINY

from edgellm.compiler.compile import compile_model
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import Architecture, Widths
from edgellm.numerics.random import random_model
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.verify import verify

pytestmark = [pytest.mark.fpga, pytest.mark.sim]

STEPS = 12


@dataclass(frozen=True)
class Case:
    arch: Architecture
    widths: Widths
    weight_bits: int | Callable[[str, int], int]
    folded: int | None = None


CASES = {
    "all of four bits, ternary": Case(TINY, Widths(4, 4, 4, 4), 2),
    "cache of four bits, layers of 2 and 8": Case(TINY, Widths(kv=4), lambda kind, layer: 2 + 6 * layer),
    "activations of four bits, 3-bit weights": Case(NARROW_HEADS, Widths(activation=4), 3, folded=6),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_stream_of_a_run(case: Case, tmp_path: Path) -> None:
    model = random_model(case.arch, 11, case.weight_bits, widths=case.widths)
    factors = None if case.folded is None else random_folding(case.arch, case.folded)
    compile_model(write_model(model, tmp_path / "toy"), "aup-zu3", tmp_path / "design", factors)
    prompt = [int(t) for t in np.random.default_rng(3).integers(0, case.arch.vocab, 5)]
    done = verify(Accelerator(tmp_path / "design"), GoldenModel(model), prompt, STEPS, [])
    assert done.finish_reason == "length"
    assert done.vectors > 13 * case.arch.layers * STEPS


def test_the_widest_layer_decides_the_weight_memory(tmp_path: Path) -> None:
    from edgellm.compiler import estimate

    widths = estimate.widths(
        random_model(TINY, 0, lambda kind, layer: 3 if layer else 5, widths=Widths(kv=4))
    )
    assert (widths.weight["qkv_acc"], widths.weight["head_acc"], widths.kept.kv) == (5, 5, 4)


def test_a_narrow_cache_takes_less_memory(tmp_path: Path) -> None:
    bram = []
    for bits in (8, 4):
        folder = write_model(random_model(TINY, 0, widths=Widths(kv=bits)), tmp_path / f"toy{bits}")
        compile_model(folder, "pynq-z2", tmp_path / f"design{bits}", random_folding(TINY, 2))
        report = json.loads((tmp_path / f"design{bits}" / "report.json").read_text())
        bram.append(next(row["bram18"] for row in report["nodes"] if row["node"] == "attention"))
    assert bram[1] <= bram[0]
