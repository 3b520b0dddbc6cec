"""argmax.sv against numerics.ops.argmax."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import numbers, simulation, tag

from edgellm.numerics import ops
from edgellm.sim import streams

pytestmark = pytest.mark.sim


@dataclass(frozen=True)
class Shape:
    n: int
    pe: int

    @property
    def beats(self) -> int:
        return self.n // self.pe

    @property
    def latency(self) -> int:
        return (self.pe - 1).bit_length() + 2


SHAPES = {"home": Shape(512, 4), "odd": Shape(33, 3), "one lane": Shape(40, 1), "one beat": Shape(16, 16)}


class Bench:
    """The module beside its golden model."""

    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape, self.random = shape, np.random.default_rng(6)
        self.sim = simulation("argmax", run_dir, N=shape.n, PE=shape.pe)

    def push(self, logits: np.ndarray) -> None:
        self.logits = logits.astype(np.int16)
        self.tags = [tag(index, index % 5, flags=1) for index in range(len(logits))]
        self.sim.push("in0", streams.pack(self.logits.reshape(-1, self.shape.pe), 16))
        self.sim.push("in1", self.tags)

    def check(self, **stalls: float) -> np.ndarray:
        """Compare everything and return the cycle of each token beat."""
        assert self.sim.run(1_000_000, {"out0": len(self.tags)}, seed=4, idle_limit=2000, **stalls)
        rows, cycles = self.sim.pop("out0")
        expected = [ops.argmax(row) << 32 | t for row, t in zip(self.logits, self.tags, strict=True)]
        assert numbers(rows) == expected
        return cycles.astype(np.int64)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path)


@pytest.mark.parametrize("reach", [1, 3, 32768])
@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.95), (0.3, 0.3)])
def test_random_logits(bench: Bench, reach: int, stall_in: float, stall_out: float) -> None:
    bench.push(bench.random.integers(-reach, reach, (300, bench.shape.n)))
    bench.check(stall_in=stall_in, stall_out=stall_out)


def test_ties_and_extremes(bench: Bench) -> None:
    n = bench.shape.n
    rows = [np.full(n, value) for value in (-32768, -1, 0, 32767)]
    for index in range(n):  # the largest value alone, and from there to the end
        rows.append(np.where(np.arange(n) == index, -32767, -32768))
        rows.append(np.where(np.arange(n) >= index, 32767, -32768))
    bench.push(np.stack(rows))
    bench.check()


def test_rate_and_latency(bench: Bench) -> None:
    bench.push(bench.random.integers(-9, 9, (20, bench.shape.n)))
    cycles = bench.check()
    last_beat = int(bench.sim.accepted("in0")[bench.shape.beats - 1])
    assert cycles[0] - last_beat == bench.shape.latency
    assert (np.diff(cycles) == max(2, bench.shape.beats)).all()


def test_tag_may_come_late_or_early(bench: Bench) -> None:
    for late in ("in0", "in1"):
        bench.push(bench.random.integers(-9, 9, (5, bench.shape.n)))
        bench.sim.run(200, stall_in={late: 1.0})
        bench.check()


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 2, 3, 5, 8, 13, 50):
        bench.push(bench.random.integers(-99, 99, (20, bench.shape.n)))
        bench.sim.run(cycles, stall_out=0.5, seed=cycles)
        bench.sim.reset()
    bench.push(bench.random.integers(-99, 99, (20, bench.shape.n)))
    bench.check()
