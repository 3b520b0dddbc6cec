"""silu_gate.sv against numerics.ops.silu_gate, for every pair of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import simulation, write_table
from rtl_rows import STALLS, Stream, check, interrupt

from edgellm.errors import SimulationError
from edgellm.numerics import ops

pytestmark = pytest.mark.sim

LATENCY = 4


@dataclass(frozen=True)
class Shape:
    pe: int
    shift: int
    extreme: bool = False  # a table of -128 and 127
    bits: int = 8


SHAPES = {
    "home": Shape(4, 4),
    "one lane": Shape(1, 1, extreme=True),
    "wide": Shape(12, 17),
    "four bits": Shape(4, 9, bits=4),
}


class Bench:
    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape, random = shape, np.random.default_rng(17)
        self.table = random.integers(-128, 128, 256)
        if shape.extreme:
            self.table = random.choice([-128, 127], 256)
        write_table(run_dir / "silu.dat", self.table[:, None], 8)
        parameters = {"PE": shape.pe, "GLU_SHIFT": shape.shift, "OUT_BITS": shape.bits}
        self.sim = simulation("silu_gate", run_dir, **parameters)

    def streams(self, pairs: np.ndarray) -> tuple[dict[str, Stream], Stream]:
        """Streams of `pairs` [count, 2], cut to whole beats; a beat is a vector here."""
        pairs = pairs[: len(pairs) // self.shape.pe * self.shape.pe]
        beats = pairs.reshape(-1, self.shape.pe, 2)
        contract = np.concatenate([beats[..., 0], beats[..., 1]], axis=-1)  # gates first, then ups
        expected = ops.silu_gate(contract, self.table, self.shape.shift, self.shape.bits)
        inputs = {"in0": Stream(beats.reshape(len(beats), -1), 2 * self.shape.pe, 8)}
        return inputs, Stream(expected, self.shape.pe, 8)

    def random(self, count: int, seed: int = 1) -> tuple[dict[str, Stream], Stream]:
        return self.streams(np.random.default_rng(seed).integers(-128, 128, (count, 2)))


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp("run"))


def test_every_pair_of_inputs_one_beat_a_cycle(bench: Bench) -> None:
    values = np.arange(-128, 128)
    trace = check(bench.sim, *bench.streams(np.stack(np.meshgrid(values, values), -1).reshape(-1, 2)))
    assert (trace.intervals == 1).all()
    assert (trace.emitted - trace.accepted["in0"] == LATENCY).all()


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS.keys())
def test_equals_the_contract(bench: Bench, stalls: tuple[float, float]) -> None:
    check(bench.sim, *bench.random(4000), stalls)


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 2, 5, 30):
        interrupt(bench.sim, bench.random(600, seed=cycles)[0], cycles)
        check(bench.sim, *bench.random(100))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"PE": 0}, "PE=0, must be at least 1"),
        ({"GLU_SHIFT": 25}, "GLU_SHIFT=25, must be 1..24"),
        ({"OUT_BITS": 1}, "OUT_BITS=1, must be 2..8"),
    ],
)
def test_bad_parameters(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=message):
        simulation("silu_gate", tmp_path, **parameters)
