"""width_converter.sv: narrow beats of a wide one from its low bits on, at one narrow beat a cycle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rtl_modules import numbers, simulation

from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim

WIDTHS = {
    "narrows": (90, 18),
    "to bytes": (512, 8),
    "same": (24, 24),
    "widens": (18, 90),
    "from bits": (1, 3),
}


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys())
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Simulation, int, int]:
    ins, outs = request.param
    return simulation("width_converter", tmp_path, IN_BITS=ins, OUT_BITS=outs), ins, outs


def narrow_beats(count: int, bits: int) -> list[int]:
    random = np.random.default_rng(bits)
    return [int.from_bytes(random.bytes(80), "little") % (1 << bits) for _ in range(count)]


def packed(narrow: list[int], bits: int, factor: int) -> list[int]:
    """Beats `factor` times as wide."""
    groups = [narrow[i : i + factor] for i in range(0, len(narrow), factor)]
    return [sum(beat << (bits * place) for place, beat in enumerate(group)) for group in groups]


def streams(ins: int, outs: int, wide: int) -> tuple[list[int], list[int]]:
    """What goes in and what must come out: at least `wide` beats of the wider kind."""
    bits = min(ins, outs)
    narrow = narrow_beats(wide * max(ins, outs) // bits, bits)
    return packed(narrow, bits, ins // bits), packed(narrow, bits, outs // bits)


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.5)])
def test_order_and_content(case: tuple[Simulation, int, int], stall_in: float, stall_out: float) -> None:
    sim, ins, outs = case
    sent, expected = streams(ins, outs, 200)
    sim.push("in0", sent)
    assert sim.run(200_000, {"out0": len(expected)}, stall_in=stall_in, stall_out=stall_out, seed=2)
    assert numbers(sim.pop("out0")[0]) == expected


def test_latency_and_rate(case: tuple[Simulation, int, int]) -> None:
    sim, ins, outs = case
    sent, expected = streams(ins, outs, 30)
    sim.push("in0", sent)
    assert sim.run(20_000, {"out0": len(expected)})
    cycles, accepted = sim.pop("out0")[1].astype(np.int64), sim.accepted("in0").astype(np.int64)
    last_of_first = accepted[max(1, outs // ins) - 1]
    assert cycles[0] - last_of_first == 1
    assert (np.diff(cycles) == max(1, outs // ins)).all()
    assert (np.diff(accepted)[2 * max(1, outs // ins) :] == max(1, ins // outs)).all()


def test_reset_drops_what_is_inside(case: tuple[Simulation, int, int]) -> None:
    sim, ins, outs = case
    sent, expected = streams(ins, outs, 6)
    sim.push("in0", sent[: max(1, outs // ins) + 1])
    sim.run(50, stall_out=1.0)
    sim.reset()
    sim.push("in0", sent)
    assert sim.run(2000, {"out0": len(expected)})
    assert numbers(sim.pop("out0")[0]) == expected
