"""embedding.sv against numerics.ops.embed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import numbers, simulation, tag, write_table

from edgellm.numerics import ops
from edgellm.sim import streams

pytestmark = pytest.mark.sim


@dataclass(frozen=True)
class Shape:
    vocab: int
    n: int
    pe: int
    shift: int
    bits: int = 8

    @property
    def beats(self) -> int:
        return self.n // self.pe


SHAPES = {"home": Shape(512, 64, 4, 4), "odd": Shape(40, 21, 7, 0), "one beat": Shape(33, 24, 24, 8)}
SHAPES["three bits"] = Shape(40, 24, 8, 13, bits=3)


class Bench:
    """The module beside its golden model."""

    def __init__(self, shape: Shape, run_dir: Path) -> None:
        self.shape, self.random = shape, np.random.default_rng(5)
        top = 1 << (shape.bits - 1)
        self.table = self.random.integers(-top, top, (shape.vocab, shape.n)).astype(np.int8)
        self.table[0], self.table[-1] = -top, top - 1
        write_table(run_dir / "embedding.dat", self.table.reshape(-1, shape.pe), shape.bits)
        sizes = {"VOCAB": shape.vocab, "N": shape.n, "PE": shape.pe, "BITS": shape.bits}
        self.sim = simulation("embedding", run_dir, **sizes, EMBED_SHIFT=shape.shift)

    def push(self, tokens: Sequence[int]) -> None:
        padding = self.random.integers(0, 1 << 16, len(tokens))
        tags = [tag(index, 3, flags=index % 2) for index in range(len(tokens))]
        beats = [int(p) << 48 | t << 32 | g for p, t, g in zip(padding, tokens, tags, strict=True)]
        self.sim.push("in0", beats)
        self.tags, self.tokens = tags, tokens

    def check(self, **stalls: float) -> np.ndarray:
        """Compare everything and return the cycle of each residual beat [tokens, beats]."""
        s, count = self.shape, len(self.tokens)
        goal = {"out0": count * s.beats, "out1": count}
        assert self.sim.run(1_000_000, goal, seed=3, idle_limit=1000, **stalls)
        rows, cycles = self.sim.pop("out0")
        got = streams.unpack(rows, 16, s.pe).reshape(count, s.n)
        last = s.vocab - 1
        expected = [ops.embed(self.table, min(token, last), s.shift) for token in self.tokens]
        assert np.array_equal(got, np.stack(expected))
        tag_rows, tag_cycles = self.sim.pop("out1")
        assert numbers(tag_rows) == self.tags
        starts = cycles.reshape(count, s.beats).astype(np.int64)
        if not stalls:
            assert (tag_cycles.astype(np.int64) <= starts[:, 0]).all()
        return starts


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path)


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.7), (0.4, 0.4)])
def test_random_tokens(bench: Bench, stall_in: float, stall_out: float) -> None:
    bench.push([int(t) for t in bench.random.integers(0, bench.shape.vocab, 2000)])
    bench.check(stall_in=stall_in, stall_out=stall_out)


def test_tokens_outside_the_vocabulary_read_the_last_row(bench: Bench) -> None:
    vocab = bench.shape.vocab
    bench.push([vocab - 1, vocab, 0, vocab + 1, 65535, 1])
    bench.check()


def test_rate_and_latency(bench: Bench) -> None:
    bench.push(list(range(30)))
    starts = bench.check()[:, 0]
    assert starts[0] - int(bench.sim.accepted("in0")[0]) == 4
    assert (np.diff(starts) == max(2, bench.shape.beats)).all()


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 2, 3, 4, 5, 11, 38):
        bench.push(list(range(20)))
        bench.sim.run(cycles, stall_out=0.2, seed=cycles)
        bench.sim.reset()
    bench.push(list(range(20, 0, -1)))
    bench.check()
