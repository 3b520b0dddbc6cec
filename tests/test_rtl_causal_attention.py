"""causal_attention.sv against numerics.ops.attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import simulation, tag, write_table

from edgellm.numerics import ops
from edgellm.numerics.model import Widths
from edgellm.sim import streams

pytestmark = pytest.mark.sim


@dataclass(frozen=True)
class Shape:
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    slots: int
    layers: int
    pt: int  # positions a cycle
    om: int  # output channels a cycle
    mult: int
    shift: int
    kv_bits: int = 8
    out_bits: int = 8

    @property
    def beats(self) -> int:
        return self.heads + 2 * self.kv_heads

    @property
    def tree(self) -> int:
        return ((self.pt - 1).bit_length() + 1) // 2

    def floor(self) -> int:
        """Cycles that division or scaling takes for a KV head."""
        return max(11, self.heads // self.kv_heads * self.head_dim // self.om + 1)

    def latency(self, position: int) -> tuple[int, int]:
        """Cycles from first k beat to first and last output beat, as the header of causal_attention.sv says."""
        products, rows = ((self.head_dim - 1).bit_length() + 1) // 2, position // self.pt + 1
        part = self.head_dim // self.om
        first = 22 + products + self.tree + 2 * rows + part
        others = (self.kv_heads - 1) * max(rows, self.floor())
        return first, first + others + (self.heads // self.kv_heads - 1) * part

    def interval(self, position: int) -> float:
        """Cycles between tokens, likewise."""
        rows = position // self.pt + 1
        head = max(rows, self.floor(), (rows + self.floor() + self.tree + 5) / 2)
        return max(self.kv_heads * head, self.beats + 1)


SHAPES = {
    "home": Shape(4, 2, 16, 256, 2, 2, 1, 2, 5, 8),
    "odd group, odd context": Shape(3, 1, 8, 37, 3, 2, 4, 8, 9, 6),
    "no group, odd dimension": Shape(2, 2, 24, 48, 1, 1, 2, 3, 1, 0),
    "wide": Shape(6, 3, 32, 64, 2, 3, 8, 16, 40, 14),
    "narrow cache": Shape(4, 2, 16, 64, 2, 2, 2, 4, 80, 8, kv_bits=4),
    "narrow result": Shape(2, 1, 8, 40, 2, 2, 1, 2, 5, 8, out_bits=4),
    "both narrow": Shape(2, 2, 8, 40, 2, 2, 1, 4, 80, 8, kv_bits=4, out_bits=4),
}
EXP = np.floor(255 * np.exp(-np.arange(256) / 24) + 0.5).astype(np.uint8)
EXP[255] = 0

Place = tuple[int, int, int]  # layer, slot, position


class Bench:
    """The module beside its golden model."""

    def __init__(self, shape: Shape, run_dir: Path, seed: int) -> None:
        self.shape, self.random = shape, np.random.default_rng(seed)
        write_table(run_dir / "exp.dat", EXP[:, None], 8)
        self.sim = simulation("causal_attention", run_dir, seed, **self.parameters(), EXP_FILE="exp.dat")
        self.forget()

    def parameters(self) -> dict[str, int]:
        s = self.shape
        return {
            "HEADS": s.heads, "KV_HEADS": s.kv_heads, "HEAD_DIM": s.head_dim, "CONTEXT": s.context,
            "SLOTS": s.slots, "LAYERS": s.layers, "PT": s.pt, "OM": s.om,
            "SCORE_MULT": s.mult, "SCORE_SHIFT": s.shift,
            "KV_BITS": s.kv_bits, "OUT_BITS": s.out_bits,
        }  # fmt: skip

    def forget(self) -> None:
        s = self.shape
        self.cache = np.zeros((2, s.layers, s.slots, s.kv_heads, s.context, s.head_dim), np.int8)
        self.expected: list[np.ndarray | None] = []

    def vectors(self, amplitude: int | None = None) -> np.ndarray:
        """Random q, k, v heads; extremes every now and then."""
        s, r = self.shape, self.random
        if amplitude is None and r.random() < 0.1:
            return self.kept(r.choice(np.array([-128, 127, 0]), (s.beats, s.head_dim)))
        reach = amplitude or int(r.choice([4, 12, 40, 128]))
        return self.kept(r.integers(-reach, reach, (s.beats, s.head_dim)))

    def kept(self, vector: np.ndarray) -> np.ndarray:
        """The vector with its keys and values in the cache's width."""
        vector[self.shape.heads :] >>= 8 - self.shape.kv_bits
        return vector.astype(np.int8)

    def push(self, places: Sequence[Place], vectors: Sequence[np.ndarray]) -> None:
        """Offer tokens to both; a token outside the memory has no golden result."""
        for (layer, slot, position), vector in zip(places, vectors, strict=True):
            self.expected.append(self.golden(layer, slot, position, vector))
        self.sim.push("in0", streams.pack(np.concatenate(vectors), 8))
        self.sim.push("in1", [tag(position, slot, layer) for layer, slot, position in places])

    def push_copy(self, layer: int, slot: int, count: int, source: int) -> None:
        """Offer a token that copies `count` positions of a layer from slot to slot."""
        if source < self.shape.slots and slot < self.shape.slots:
            cache = self.cache[:, layer]
            cache[:, slot, :, :count] = cache[:, source, :, :count]
        self.expected.append(None)
        self.sim.push("in0", streams.pack(self.vectors(), 8))
        self.sim.push("in1", [source << 28 | 1 << 27 | tag(count - 1, slot, layer)])

    def golden(self, layer: int, slot: int, position: int, vector: np.ndarray) -> np.ndarray | None:
        s = self.shape
        if layer >= s.layers or slot >= s.slots or position >= s.context:
            return None
        q, kv = vector[: s.heads], vector[s.heads :].reshape(2, s.kv_heads, s.head_dim)
        self.cache[:, layer, slot, :, position] = kv
        keys, values = self.cache[:, layer, slot, :, : position + 1]
        widths = Widths(activation=s.out_bits, kv=s.kv_bits)
        return ops.attention(q, keys, values, EXP, s.mult, s.shift, widths).reshape(s.heads, s.head_dim)

    def check(self, *, stall_in: float = 0.0, stall_out: float = 0.0, seed: int = 0) -> np.ndarray:
        """Run until all tokens are out, compare, and return the cycle of each beat [tokens, heads]."""
        s, tokens = self.shape, len(self.expected)
        done = self.sim.run(
            5_000_000,
            {"out0": tokens * s.heads},
            stall_in=stall_in,
            stall_out=stall_out,
            seed=seed,
            idle_limit=5000,
        )
        assert done
        rows, cycles = self.sim.pop("out0")
        got = streams.unpack(rows, 8, s.head_dim).reshape(tokens, s.heads, s.head_dim)
        for index, expected in enumerate(self.expected):
            if expected is not None:
                assert np.array_equal(got[index], expected), f"token {index}"
        self.expected = []
        return cycles.reshape(tokens, s.heads).astype(np.int64)

    def random_places(self, count: int, longest: int, restart: float = 0.3) -> list[Place]:
        """Tokens of interleaved sequences, each from 0 (sometimes rewound to an earlier position)."""
        s, r = self.shape, self.random
        next_position = np.zeros((s.layers, s.slots), int)
        places = []
        for _ in range(count):
            layer, slot = int(r.integers(s.layers)), int(r.integers(s.slots))
            position = int(next_position[layer, slot])
            places.append((layer, slot, position))
            over = position + 1 >= min(longest, s.context) or r.random() < restart / longest
            next_position[layer, slot] = r.integers(0, position + 1) if over else position + 1
        return places


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path, seed=7)


@pytest.mark.parametrize(
    ("count", "longest", "stall_in", "stall_out"),
    [(2000, 6, 0.0, 0.0), (1000, 12, 0.6, 0.0), (1000, 12, 0.0, 0.9), (2000, 300, 0.3, 0.3)],
)
def test_interleaved_tokens(
    bench: Bench, count: int, longest: int, stall_in: float, stall_out: float
) -> None:
    places = bench.random_places(count, longest)
    bench.push(places, [bench.vectors() for _ in places])
    bench.check(stall_in=stall_in, stall_out=stall_out, seed=count)


def test_context_filled_at_the_documented_rate(bench: Bench) -> None:
    shape = bench.shape
    places = [(0, 0, position) for position in range(shape.context)]
    bench.push(places, [bench.vectors() for _ in places])
    ends = bench.check()[:, -1]
    pairs = ends[2:] - ends[:-2]  # two tokens at a time: single ones come alternately early and late
    limits = np.array([2 * shape.interval(position + 1) for position in range(2, shape.context)])
    assert (pairs <= limits + 2).all(), list(zip(pairs, limits, strict=True))


def test_documented_latency(bench: Bench) -> None:
    for position in range(min(bench.shape.context, 40)):
        bench.push([(0, 0, position)], [bench.vectors()])
        out = bench.check()[0]
        first_key = int(bench.sim.accepted("in0")[position * bench.shape.beats + bench.shape.heads])
        first, last = bench.shape.latency(position)
        slack = max(0, bench.shape.kv_heads - 2) * (bench.shape.tree + 5)
        assert out[0] - first_key == first
        assert last <= out[-1] - first_key <= last + slack


@pytest.mark.parametrize("q", [-128, 127])
@pytest.mark.parametrize("k", [-128, 127])
@pytest.mark.parametrize("v", [-128, 127])
def test_extremes(bench: Bench, q: int, k: int, v: int) -> None:
    s = bench.shape
    token = np.concatenate([np.full((n, s.head_dim), x, np.int8) for n, x in
                            ((s.heads, q), (s.kv_heads, k), (s.kv_heads, v))])  # fmt: skip
    token = bench.kept(token.astype(int))
    k >>= 8 - s.kv_bits
    opposite = token.copy()
    opposite[s.heads : s.heads + s.kv_heads] = -1 - k
    tokens = [token, opposite] * (s.context // 2)
    bench.push([(0, 0, position) for position in range(len(tokens))], tokens)
    bench.check()


def test_restart_while_older_tokens_are_inside(bench: Bench) -> None:
    long = min(bench.shape.context, 40) - 1
    bench.push([(0, 0, p) for p in range(long)], [bench.vectors() for _ in range(long)])
    bench.check()
    places = [(0, 0, p) for p in (long, 0, 0, 1, 2, 1, 2, 3, 0, 1, 0, long)] * 3
    bench.push(places, [bench.vectors() for _ in places])
    bench.check()
    bench.push(places, [bench.vectors() for _ in places])
    bench.check(stall_out=0.7)


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.5, 0.0), (0.2, 0.8)])
def test_copies_between_slots(bench: Bench, stall_in: float, stall_out: float) -> None:
    """Tokens and copies back to back: a copy sees what was before it, and nothing that comes later."""
    s, r = bench.shape, bench.random
    filled = np.zeros((s.layers, s.slots), int)
    for _ in range(600):
        layer, slot, source = int(r.integers(s.layers)), int(r.integers(s.slots)), int(r.integers(s.slots))
        if r.random() < 0.15 and filled[layer, source]:
            count = int(r.integers(1, filled[layer, source] + 1))
            bench.push_copy(layer, slot, count, source)
            filled[layer, slot] = count
        else:
            position = min(int(filled[layer, slot]), s.context - 1)
            bench.push([(layer, slot, position)], [bench.vectors()])
            filled[layer, slot] = position + 1 if position < min(s.context, 30) else int(r.integers(position))
    bench.check(stall_in=stall_in, stall_out=stall_out, seed=3)


def test_a_copy_takes_as_long_as_documented(bench: Bench) -> None:
    s = bench.shape
    places = [(0, 0, p) for p in range(s.context - 1)]
    bench.push(places, [bench.vectors() for _ in places])
    bench.check()
    for count in (1, s.context // 2, s.context - 1):
        before = len(bench.sim.accepted("in1"))
        bench.push_copy(0, s.slots - 1, count, 0)
        bench.check()
        tag_cycle = int(bench.sim.accepted("in1")[before])
        first_beat = int(bench.sim.accepted("in0")[before * s.beats])
        assert first_beat - tag_cycle == 2 + 4 + s.kv_heads * -(-count // s.pt)


def test_a_copy_from_nowhere_writes_nothing(bench: Bench) -> None:
    places = [(0, 0, position) for position in range(5)]
    bench.push(places, [bench.vectors() for _ in places])
    for slot, source in ((0, 15), (bench.shape.slots, 0)):
        bench.push_copy(0, slot, 5, source)
    bench.push([(0, 0, 5)], [bench.vectors()])
    bench.check()


def test_tokens_outside_the_memory_write_nothing(bench: Bench) -> None:
    s = bench.shape
    places = [(layer, slot, p) for p in range(5) for layer in range(s.layers) for slot in range(s.slots)]
    outside = [(0, 0, s.context), (s.layers, 0, 1), (0, s.slots, 2), (s.layers - 1, s.slots - 1, 65535)]
    after = [(layer, slot, 5) for layer in range(s.layers) for slot in range(s.slots)]
    order = places + outside + after
    bench.push(order, [bench.vectors(128) for _ in order])
    bench.check()


def test_reset_in_the_middle(bench: Bench) -> None:
    places = bench.random_places(60, 20)
    for cycles in (3, 17, 131, 400, 1009):
        bench.push(places, [bench.vectors() for _ in places])
        bench.sim.run(cycles, stall_in=0.2, stall_out=0.2, seed=cycles)
        bench.sim.reset()
        bench.forget()
    fresh = bench.random_places(60, 20)
    bench.push(fresh, [bench.vectors() for _ in fresh])
    bench.check()
