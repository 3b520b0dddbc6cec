"""axis_register.sv and axis_fifo.sv: nothing lost, nothing repeated, nothing reordered, at the documented speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rtl_modules import numbers, simulation

from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim

# module, parameters, beats held while the output is blocked, latency
CASES = {
    "register": ("axis_register", {"W": 33}, 2, 1),
    "fifo": ("axis_fifo", {"W": 70, "DEPTH": 5}, 6, 2),
    "fifo of one": ("axis_fifo", {"W": 8, "DEPTH": 1}, 2, 2),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Simulation, int, int, int]:
    module, parameters, capacity, latency = request.param
    return simulation(module, tmp_path, **parameters), parameters["W"], capacity, latency


def beats(count: int, width: int, seed: int) -> list[int]:
    random = np.random.default_rng(seed)
    return [int.from_bytes(random.bytes(9), "little") % (1 << width) for _ in range(count)]


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.5)])
def test_order_and_content(case: tuple[Simulation, int, int, int], stall_in: float, stall_out: float) -> None:
    sim, width, _, _ = case
    sent = beats(3000, width, 1)
    sim.push("in0", sent)
    assert sim.run(
        50_000, {"out0": len(sent)}, stall_in=stall_in, stall_out=stall_out, seed=2, idle_limit=500
    )
    assert numbers(sim.pop("out0")[0]) == sent


def test_latency_and_rate(case: tuple[Simulation, int, int, int]) -> None:
    sim, width, capacity, latency = case
    sim.push("in0", beats(50, width, 3))
    assert sim.run(1000, {"out0": 50})
    cycles = sim.pop("out0")[1].astype(np.int64)
    assert cycles[0] - int(sim.accepted("in0")[0]) == latency
    assert (np.diff(cycles) == (1 if capacity != 2 or latency == 1 else 2)).all()


def test_capacity_and_reset(case: tuple[Simulation, int, int, int]) -> None:
    sim, width, capacity, _ = case
    sim.push("in0", beats(20, width, 4))
    sim.run(50, stall_out=1.0)
    assert sim.available("in0") == 20 - capacity
    sim.reset()
    sim.run(20)
    assert sim.available("out0") == 0
    sent = beats(20, width, 5)
    sim.push("in0", sent)
    assert sim.run(1000, {"out0": 20})
    assert numbers(sim.pop("out0")[0]) == sent
