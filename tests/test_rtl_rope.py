"""rope.sv against numerics.ops.rope."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import simulation, tag, write_table
from rtl_rows import STALLS, Stream, check, interrupt

from edgellm.errors import SimulationError
from edgellm.numerics import ops

pytestmark = pytest.mark.sim

LATENCY = 4


@dataclass(frozen=True)
class Shape:
    rotated: int
    passed: int
    head_dim: int
    pe: int
    context: int
    kv_bits: int = 8

    @property
    def width(self) -> int:
        return (self.rotated + self.passed) * self.head_dim

    @property
    def parameters(self) -> dict[str, int]:
        folding = {"HD": self.head_dim, "PE": self.pe, "T": self.context}
        return {"NR": self.rotated, "NP": self.passed, "KV_BITS": self.kv_bits, **folding}


SHAPES = {
    "home": Shape(6, 2, 16, 4, 256),
    "one beat a head": Shape(3, 1, 8, 8, 37),
    "nothing passes": Shape(1, 0, 12, 2, 100),
    "one beat a vector": Shape(1, 0, 6, 6, 9),
    "four bits kept": Shape(6, 2, 16, 4, 64, kv_bits=4),
    "as many keys as queries, two bits": Shape(2, 1, 8, 8, 37, kv_bits=2),
}


class Bench:
    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape, random = shape, np.random.default_rng(13)
        angle = random.random((shape.context, shape.head_dim // 2)) * 6.283
        self.cos = np.rint(np.cos(angle) * 8192).astype(np.int16)
        self.sin = np.rint(np.sin(angle) * 8192).astype(np.int16)
        self.cos[0], self.sin[0] = 8192, 0
        self.cos[-1], self.sin[-1] = -8192, 0
        self.cos[1:4] = [[-16384], [16383], [-16384]]  # not angles: the largest sums of 15-bit factors
        self.sin[1:4] = [[-16384], [-16384], [16383]]
        pairs = np.stack([self.cos, self.sin], axis=-1).reshape(-1, shape.pe)
        write_table(run_dir / "angles.dat", pairs, 15)
        self.sim = simulation("rope", run_dir, **shape.parameters, TABLE_FILE="angles.dat")

    def streams(self, count: int, seed: int = 1) -> tuple[dict[str, Stream], Stream]:
        s, random = self.shape, np.random.default_rng(seed)
        x = random.integers(-128, 128, (count, s.width))
        x[:6] = [[-128], [127], [-128], [127], [-128], [127]]
        positions = random.integers(0, s.context, count)
        positions[:8] = 1, 1, 2, 2, 3, 3, 0, s.context - 1
        split = s.rotated * s.head_dim
        keys = split - s.passed * s.head_dim
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]

        def turned(part: np.ndarray, bits: int) -> np.ndarray:
            heads = part.reshape(count, -1, s.head_dim)
            return ops.rope(heads, cos, sin, bits).reshape(part.shape)

        q, k = turned(x[:, :keys], 8), turned(x[:, keys:split], s.kv_bits)
        expected = np.concatenate([q, k, ops.narrow(x[:, split:], s.kv_bits)], axis=1)
        tags = np.array([[tag(int(p), slot=255, layer=k % 256, flags=255)] for k, p in enumerate(positions)])
        return {"in0": Stream(x, s.pe, 8), "in1": Stream(tags, 1, 40)}, Stream(expected, s.pe, 8)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS.keys())
def test_equals_the_contract(bench: Bench, stalls: tuple[float, float]) -> None:
    check(bench.sim, *bench.streams(400), stalls)


def test_vectors_follow_each_other_without_a_gap(bench: Bench) -> None:
    bench.sim.reset()
    trace = check(bench.sim, *bench.streams(50, seed=2))
    beats = trace.emitted.reshape(-1)
    assert (np.diff(beats) == 1).all()
    assert (beats - trace.accepted["in0"].reshape(-1) == LATENCY).all()
    assert trace.accepted["in0"][0, 0] - trace.accepted["in1"][0, 0] == 1


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 7, 20, 57):
        interrupt(bench.sim, bench.streams(30, seed=cycles)[0], cycles)
        check(bench.sim, *bench.streams(8, seed=4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"HD": 16, "PE": 5}, "PE=5 must be even and divide HD=16"),
        ({"HD": 16, "PE": 32}, "PE=32 must be even and divide HD=16"),
        ({"KV_BITS": 9}, "KV_BITS=9, must be 2..8"),
        ({"NR": 1, "NP": 2, "KV_BITS": 4}, "and 8 if NP=2 is above NR=1"),
        ({"T": 65537}, "T=65537, must be 1..65536"),
    ],
)
def test_bad_parameters(parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=message):
        simulation("rope", tmp_path, **parameters)
