"""sampler.sv, with threefry.sv and gumbel.sv in it, against numerics.sampling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import simulation, write_table
from rtl_rows import STALLS, Stream, check, interrupt

from edgellm.errors import SimulationError
from edgellm.numerics import sampling
from edgellm.numerics.sampling import Sampling

pytestmark = pytest.mark.sim

LATENCY = 25


@dataclass(frozen=True)
class Shape:
    n: int
    pe: int
    step_bits: int

    @property
    def shift(self) -> int:
        return 18 - self.step_bits

    @property
    def bits(self) -> int:
        return sampling.score_bits(self.step_bits)


SHAPES = {
    "home": Shape(512, 2, 8),
    "one lane": Shape(66, 1, 1),
    "wide": Shape(96, 4, 14),
    "short vectors": Shape(6, 2, 10),
}


class Bench:
    """The module beside its golden model."""

    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape = shape
        base, drop = sampling.noise_table()
        entries = (drop << 16) | (base & 0xFFFF)
        write_table(run_dir / "gumbel.dat", entries[:, None].tolist(), 26)
        self.sim = simulation(
            "sampler", run_dir, N=shape.n, PE=shape.pe, SHIFT=shape.shift, TABLE_FILE="gumbel.dat"
        )

    def streams(self, count: int, seed: int = 1) -> tuple[dict[str, Stream], Stream]:
        s, random = self.shape, np.random.default_rng(seed)
        logits = random.integers(-32768, 32768, (count, s.n))
        logits[0], logits[1] = -32768, 32767
        requests = [
            Sampling(int(random.integers(0, 1 << 63)) * 2, int(t)) for t in random.integers(0, 65536, count)
        ]
        requests[0], requests[1], requests[2] = Sampling(2**64 - 1, 65535), Sampling(0, 65535), Sampling(5, 0)
        positions = random.integers(0, 65536, count).tolist()
        words = [
            (q.seed & 0xFFFFFFFF, q.seed >> 32, p | q.temperature << 16)
            for q, p in zip(requests, positions, strict=True)
        ]
        expected = [
            sampling.scores(row, q, p, s.step_bits)
            for row, q, p in zip(logits, requests, positions, strict=True)
        ]
        inputs = {"in0": Stream(logits, s.pe, 16), "in1": Stream(np.array(words), 3, 32)}
        return inputs, Stream(np.array(expected), s.pe, s.bits)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS.keys())
def test_equals_the_contract(bench: Bench, stalls: tuple[float, float]) -> None:
    check(bench.sim, *bench.streams(60), stalls)


def test_rate_and_latency(bench: Bench) -> None:
    bench.sim.reset()
    trace = check(bench.sim, *bench.streams(20, seed=2))
    beats, accepted = trace.emitted.reshape(-1), trace.accepted["in0"].reshape(-1)
    assert (beats - accepted == LATENCY).all()
    assert accepted[0] - trace.accepted["in1"][0, 0] == 1
    if bench.shape.n // bench.shape.pe >= LATENCY:
        assert (np.diff(beats) == 1).all()


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 9, 30, 77):
        interrupt(bench.sim, bench.streams(30, seed=cycles)[0], cycles)
        check(bench.sim, *bench.streams(4, seed=4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"N": 64, "PE": 3}, "PE=3 must be 1 or even and divide N=64"),
        ({"SHIFT": 18}, "SHIFT=18, must be 4..17"),
    ],
)
def test_bad_parameters(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=message):
        simulation("sampler", tmp_path, **parameters)
