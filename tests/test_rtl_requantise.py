"""requantise.sv against numerics.ops: requantise, add_residual and logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import simulation
from rtl_rows import STALLS, Stream, check, interrupt

from edgellm.errors import SimulationError
from edgellm.numerics import ops
from edgellm.sim import streams

pytestmark = pytest.mark.sim

LATENCY = 4


@dataclass(frozen=True)
class Shape:
    n: int
    pe: int
    layers: int
    acc_bits: int
    mult_bits: int
    bias_bits: int
    shift: int
    out_bits: int = 8
    add: bool = False
    bias_table: bool = True

    @property
    def parameters(self) -> dict[str, int]:
        names = {"N": self.n, "PE": self.pe, "LAYERS": self.layers, "AW": self.acc_bits, "MW": self.mult_bits}
        more = {"BW": self.bias_bits, "SHIFT": self.shift, "OW": self.out_bits, "ADD": int(self.add)}
        return {**names, **more, "BIAS_TABLE": int(self.bias_table)}


SHAPES = {
    "home": Shape(64, 4, 5, 18, 16, 32, 20),
    "residual": Shape(24, 3, 2, 13, 9, 20, 7, out_bits=16, add=True),
    "logits": Shape(40, 8, 1, 32, 16, 32, 40, out_bits=16),
    "one beat, one bias": Shape(8, 8, 3, 20, 8, 32, 12, bias_table=False),
    "widest": Shape(6, 1, 1, 32, 16, 32, 1, out_bits=16, add=True),
}


class Bench:
    """The module beside its golden model: random parameters with the extremes among them."""

    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape, random = shape, np.random.default_rng(11)
        size = (shape.layers, shape.n)
        half = 1 << (shape.bias_bits - 1)
        self.mult = random.integers(1, 1 << shape.mult_bits, size)
        self.bias = random.integers(-half, half, size)
        self.mult[-1, ::5], self.mult[0, ::7] = (1 << shape.mult_bits) - 1, 1
        self.bias[-1, ::5], self.bias[0, ::3] = half - 1, -half
        parameters: dict[str, int | str] = {**shape.parameters, "TABLE_FILE": "set.dat"}
        entries = self.mult
        if shape.bias_table:
            entries = self.mult | (self.bias & (2 * half - 1)) << shape.mult_bits
        else:
            self.bias[:] = 1 << (shape.shift - 1)
            parameters["BIAS"] = int(self.bias[0, 0])
        bits = shape.mult_bits + shape.bias_bits * shape.bias_table
        rows = streams.pack(entries.reshape(-1, shape.pe), bits)
        (run_dir / "set.dat").write_text("".join(f"{row[::-1].tobytes().hex()}\n" for row in rows))
        self.sim = simulation("requantise", run_dir, **parameters)

    def streams(self, count: int, seed: int = 1) -> tuple[dict[str, Stream], Stream]:
        s, random = self.shape, np.random.default_rng(seed)
        limit = 1 << (s.acc_bits - 1)
        acc = random.integers(-limit, limit, (count, s.n)) >> random.integers(0, s.acc_bits, (count, 1))
        acc[0], acc[1], acc[2] = -limit, limit - 1, 0
        selector = random.integers(0, s.layers, (count, 1))
        selector[:3] = s.layers - 1
        mult, bias = self.mult[selector[:, 0]], self.bias[selector[:, 0]]
        inputs = {"in0": Stream(acc, s.pe, s.acc_bits)}
        if s.layers > 1:
            inputs["in1"] = Stream(selector, 1, 8)
        if s.add:
            residual = random.integers(-32768, 32768, (count, s.n))
            residual[0], residual[1] = -32768, 32767
            inputs["in2"] = Stream(residual, s.pe, 16)
            expected = ops.add_residual(acc, mult, bias, s.shift, residual)
        elif s.out_bits == 16:
            expected = ops.logits(acc, mult, bias, s.shift)
        else:
            expected = ops.requantise(acc, mult, bias, s.shift)
        return inputs, Stream(expected, s.pe, s.out_bits)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS.keys())
def test_equals_the_contract(bench: Bench, stalls: tuple[float, float]) -> None:
    check(bench.sim, *bench.streams(400), stalls)


def test_vectors_follow_each_other_without_a_gap(bench: Bench) -> None:
    trace = check(bench.sim, *bench.streams(50, seed=2))
    beats = trace.emitted.reshape(-1)
    assert (np.diff(beats) == 1).all()
    assert (beats - trace.accepted["in0"].reshape(-1) == LATENCY).all()


def test_selector_adds_one_cycle(bench: Bench) -> None:
    bench.sim.reset()
    trace = check(bench.sim, *bench.streams(3, seed=3))
    if "in1" in trace.accepted:
        assert trace.accepted["in0"][0, 0] - trace.accepted["in1"][0, 0] == 1


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 7, 20, 57):
        interrupt(bench.sim, bench.streams(30, seed=cycles)[0], cycles)
        check(bench.sim, *bench.streams(8, seed=4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"N": 64, "PE": 5}, "PE=5 does not divide N=64"),
        ({"SHIFT": 41}, "SHIFT=41, must be 1..40"),
        ({"OW": 12}, "OW=12, must be 8 or 16"),
        ({"MW": 17}, "MW=17, BW=32; limits 2..32, 1..16, 1..32"),
    ],
)
def test_bad_parameters(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=message):
        simulation("requantise", tmp_path, **parameters)


def test_a_missing_table_is_an_error(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"readmem file not found \(set.dat"):
        simulation("requantise", tmp_path, **bench.shape.parameters, TABLE_FILE="set.dat")


def test_other_parameters_need_no_new_build(tmp_path: Path) -> None:
    """The table is read when the simulation starts, so it is not part of the library."""
    first = Bench(SHAPES["residual"], tmp_path)
    table = tmp_path / "set.dat"
    table.write_text("".join(f"{0:0{len(line)}x}\n" for line in table.read_text().splitlines()))
    parameters = {**first.shape.parameters, "TABLE_FILE": "set.dat"}
    other = simulation("requantise", tmp_path, **parameters)
    assert other.library == first.sim.library
    inputs, expected = first.streams(4)
    unscaled = inputs["in2"].values  # every multiplier and bias is 0 now
    check(other, inputs, Stream(unscaled, expected.lanes, expected.bits))
