"""A pruned model is a smaller accelerator: the compiled graph multiplies less, and takes less time."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
import torch
from compiled import design
from shapes import TINY

from edgellm.numerics import workload
from edgellm.numerics.model import Architecture
from edgellm.train.model import Decoder
from edgellm.train.prune import shrink

pytestmark = [pytest.mark.train, pytest.mark.fpga]


def report(arch: Architecture) -> Any:
    return json.loads((design(arch) / "report.json").read_text())


def test_fewer_multiplications_in_the_report_and_in_the_graph() -> None:
    rng = random.Random(1)
    lines = [([1, *(rng.randint(4, 39) for _ in range(6)), 2], 3) for _ in range(8)]
    goal = dataclasses.replace(TINY, heads=1, ffn=12, layers=1)
    pruned = shrink(Decoder(TINY), goal, lines)
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in Decoder(TINY).parameters())
    assert torch.isfinite(pruned(torch.tensor([[1, 2, 3]]))).all()
    whole, small = report(TINY), report(pruned.arch)
    for arch, found in ((TINY, whole), (pruned.arch, small)):
        assert found["macs"]["first_position"] == workload.macs(arch, 0)
        assert found["macs"]["last_position"] == workload.macs(arch, TINY.context - 1)
    assert small["macs"]["first_position"] < 0.6 * whole["macs"]["first_position"]
    assert small["cycles"]["first_position"] < whole["cycles"]["first_position"]
