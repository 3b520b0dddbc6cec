"""rms_norm.sv (with inverse_root.sv) against numerics.ops.rms_norm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rtl_modules import simulation
from rtl_rows import STALLS, Stream, check, interrupt

from edgellm.errors import SimulationError
from edgellm.numerics import ops
from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim


@dataclass(frozen=True)
class Shape:
    n: int
    pe: int
    shift: int
    digits: int = 2
    bits: int = 8

    @property
    def interval(self) -> int:
        return max(self.n // self.pe, -(-25 // self.digits) + 1)

    @property
    def latency(self) -> int:
        """Cycles from the last beat in to the first beat out."""
        levels = (self.pe - 1).bit_length()
        return -(-25 // self.digits) + (levels + 1) // 2 + 7


SHAPES = {
    "home": Shape(64, 4, 16),
    "one lane": Shape(48, 1, 20, digits=1),
    "odd": Shape(21, 7, 1, digits=3),
    "one beat": Shape(16, 16, 25, digits=4),
    "four bits": Shape(64, 4, 18, bits=4),
}


def vectors(n: int, count: int, seed: int) -> NDArray[np.int16]:
    """Random vectors of every size of residual, and the extremes."""
    random = np.random.default_rng(seed)
    scale = random.choice([1, 2, 50, 3000, 32767], (count, 1))
    values = random.integers(-32768, 32768, (count, n)) * scale // 32768
    values[random.random((count, n)) < random.choice([0, 0.5, 0.95], (count, 1))] = 0
    values[0], values[1], values[2], values[3] = -32768, 32767, 0, 0
    values[3, -1] = -32768
    values[4], values[5] = 0, np.where(np.arange(n) % 2, 32767, -32768)
    values[4, 0] = 1
    return values.astype(np.int16)


@dataclass
class Bench:
    shape: Shape
    sim: Simulation

    def streams(self, count: int, seed: int = 1) -> tuple[dict[str, Stream], Stream]:
        x = vectors(self.shape.n, count, seed)
        expected = Stream(ops.rms_norm(x, self.shape.shift, self.shape.bits), self.shape.pe, 8)
        return {"in0": Stream(x, self.shape.pe, 16)}, expected


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    s: Shape = request.param
    parameters = {"N": s.n, "PE": s.pe, "NORM_SHIFT": s.shift, "ROOT_DIGITS": s.digits, "OUT_BITS": s.bits}
    return Bench(s, simulation("rms_norm", tmp_path_factory.mktemp("run"), **parameters))


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS.keys())
def test_equals_the_contract(bench: Bench, stalls: tuple[float, float]) -> None:
    check(bench.sim, *bench.streams(400), stalls)


def test_full_rate(bench: Bench) -> None:
    trace = check(bench.sim, *bench.streams(100, seed=2))
    assert (trace.intervals[4:] == bench.shape.interval).all()


def test_latency_of_one_vector(bench: Bench) -> None:
    inputs, expected = bench.streams(6, seed=3)
    for k in range(6):
        one = {"in0": Stream(inputs["in0"].values[k : k + 1], bench.shape.pe, 16)}
        trace = check(bench.sim, one, Stream(expected.values[k : k + 1], bench.shape.pe, 8))
        assert trace.emitted[0, 0] - trace.accepted["in0"][0, -1] == bench.shape.latency


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 9, 33, 60, 150):
        interrupt(bench.sim, bench.streams(30, seed=cycles)[0], cycles)
        check(bench.sim, *bench.streams(8, seed=4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"N": 64, "PE": 5}, "PE=5 does not divide N=64"),
        ({"NORM_SHIFT": 26}, "NORM_SHIFT=26, must be 1..25"),
        ({"OUT_BITS": 9}, "OUT_BITS=9, must be 2..8"),
        ({"ROOT_DIGITS": 5}, "DIGITS=5, must be 1..4"),
    ],
)
def test_bad_parameters(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=message):
        simulation("rms_norm", tmp_path, **parameters)
