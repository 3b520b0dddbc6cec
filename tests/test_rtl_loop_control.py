"""loop_control.sv with a Python model of the decoder block around it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import LOGITS, numbers, simulation, tag

pytestmark = pytest.mark.sim

FOREVER = 1 << 60


@dataclass(frozen=True)
class Shape:
    layers: int
    tokens: int
    beats: int
    width: int


SHAPES = {"home": Shape(5, 8, 16, 64), "small": Shape(3, 3, 2, 16), "single": Shape(1, 1, 1, 8)}


def transform(value: int, layer: int, width: int) -> int:
    """What the model of the block does to a beat; not commutative over the layers."""
    return (value * 5 + layer + 1) % (1 << width)


class Block:
    """Returns each beat `delay` cycles after its vector is complete, or (`whole` False) after the beat itself."""

    def __init__(self, shape: Shape, whole: bool) -> None:
        self.shape, self.whole = shape, whole
        self.tags: deque[int] = deque()
        self.selectors: deque[int] = deque()
        self.beats: deque[int] = deque()
        self.started: list[tuple[int, int]] = []  # (layer, tag) in order
        self.line: deque[tuple[int, int]] = deque()  # (cycle at which it may return, value)
        self.filled = 0  # beats of the front vector already on the line

    def work(self, now: int, delay: int) -> None:
        """Move what can be moved into the delay line."""
        while self.beats and self.tags and self.selectors:
            if self.whole and self.filled == 0 and len(self.beats) < self.shape.beats:
                return
            layer, token = divmod(self.tags[0], 1 << 32)
            assert layer == self.selectors[0]
            if self.filled == 0:
                self.started.append((layer, token))
            value = transform(self.beats.popleft(), layer, self.shape.width)
            self.line.append((now + delay, value))
            self.filled += 1
            if self.filled == self.shape.beats:
                self.tags.popleft(), self.selectors.popleft()
                self.filled = 0

    def ready(self, now: int) -> list[int]:
        out = []
        while self.line and self.line[0][0] <= now:
            out.append(self.line.popleft()[1])
        return out


class Bench:
    """The module, the block, and what must come out."""

    def __init__(self, shape: Shape, run_dir: Path, seed: int = 3) -> None:
        self.shape, self.random = shape, np.random.default_rng(seed)
        self.sim = simulation(
            "loop_control",
            run_dir,
            LAYERS=shape.layers,
            TOKENS=shape.tokens,
            BEATS=shape.beats,
            W=shape.width,
        )
        self.forget()

    def forget(self) -> None:
        self.block = Block(self.shape, whole=True)
        self.tokens: list[int] = []
        self.wanted: list[int] = []
        self.final: list[int] = []
        self.got: list[int] = []
        self.got_tags: list[int] = []
        self.cycles: list[int] = []

    def push(self, count: int, logits: float = 0.5) -> None:
        for _ in range(count):
            flags = LOGITS if self.random.random() < logits else 0
            token = tag(len(self.tokens), int(self.random.integers(256))) | flags
            vector = [int(v) for v in self.random.integers(0, 1 << (self.shape.width - 1), self.shape.beats)]
            self.sim.push("in0", vector)
            self.sim.push("in1", [token])
            self.tokens.append(token)
            if flags:
                for layer in range(self.shape.layers):
                    vector = [transform(value, layer, self.shape.width) for value in vector]
                self.wanted.append(token)
                self.final += vector

    def step(self, delay: int, cycles: int = 1, **stalls: object) -> None:
        """Advance, and let the block do its part."""
        self.sim.run(cycles, seed=int(self.random.integers(1 << 30)), **stalls)  # type: ignore[arg-type]
        for port, queue in (
            ("out0", self.block.beats),
            ("out1", self.block.tags),
            ("out2", self.block.selectors),
        ):
            queue.extend(numbers(self.sim.pop(port)[0]))
        self.block.work(self.sim.cycle, delay)
        if returned := self.block.ready(self.sim.cycle):
            self.sim.push("in2", returned)
        rows, cycles_seen = self.sim.pop("out3")
        self.got += numbers(rows)
        self.cycles += [int(cycle) for cycle in cycles_seen]
        self.got_tags += numbers(self.sim.pop("out4")[0])

    def finished(self) -> bool:
        passes = len(self.tokens) * self.shape.layers
        return len(self.got) >= len(self.final) and len(self.block.started) == passes and not self.block.line

    def check(self, delay: int = 0, limit: int = 8000, **stalls: object) -> None:
        for _ in range(limit):
            if self.finished():
                break
            self.step(delay, **stalls)
        self.step(delay, cycles=50)
        assert self.got == self.final
        assert self.got_tags == self.wanted
        for layer in range(self.shape.layers):  # every layer sees every token, in order
            assert [token for number, token in self.block.started if number == layer] == self.tokens


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.4, 0.4)])
@pytest.mark.parametrize("delay", [0, 40])
def test_every_token_passes_every_layer(
    bench: Bench, whole: bool, stall_in: float, stall_out: float, delay: int
) -> None:
    bench.block.whole = whole
    bench.push(30)
    bench.check(delay, stall_in=stall_in, stall_out=stall_out)


def test_no_more_tokens_inside_than_allowed(bench: Bench) -> None:
    bench.push(3 * bench.shape.tokens, logits=1.0)
    bench.step(FOREVER, cycles=1000)
    assert len(bench.block.started) == bench.shape.tokens
    bench.block.line = deque((0, value) for _, value in bench.block.line)
    bench.check()


@pytest.mark.parametrize("whole", [True, False])
def test_blocked_final_output_only_delays(bench: Bench, whole: bool) -> None:
    bench.block.whole = whole
    bench.push(4 * bench.shape.tokens, logits=1.0)
    for port in ("out3", "out4"):
        for _ in range(300):
            bench.step(3, stall_out={port: 1.0})
    bench.check(3)


def test_blocked_block_input_only_delays(bench: Bench) -> None:
    bench.push(4 * bench.shape.tokens)
    for port in ("out0", "out1", "out2"):
        for _ in range(300):
            bench.step(0, stall_out={port: 1.0})
    bench.check()


def test_ring_goes_before_new_tokens(tmp_path: Path) -> None:
    bench = Bench(SHAPES["small"], tmp_path)
    bench.push(1)
    bench.step(30, cycles=20)  # the first token is in the block now
    bench.push(2)
    for _ in range(60):  # it comes back while the second one's tag blocks the entry
        bench.step(0, stall_out={"out1": 1.0})
    bench.step(FOREVER, cycles=60)
    order = [(layer, token & 0xFFFF) for layer, token in bench.block.started]
    assert order == [(0, 0), (0, 1), (1, 0), (0, 2)]


def test_latency_and_rate(bench: Bench) -> None:
    shape = bench.shape
    bench.push(shape.tokens)
    bench.sim.run(100 + 3 * shape.tokens * shape.beats)
    data = bench.sim.pop("out0")[1].astype(np.int64)
    assert data[0] - int(bench.sim.accepted("in1")[0]) == 2
    assert (np.diff(data[:: shape.beats]) <= shape.beats + 1).all()


def test_latency_of_the_ring(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.push(1)
    bench.sim.run(60)
    vector = numbers(bench.sim.pop("out0")[0])
    bench.sim.push("in2", vector)
    bench.sim.run(60)
    back = bench.sim.pop("out0")[1].astype(np.int64)
    assert back[0] - int(bench.sim.accepted("in2")[0]) == 4
    assert (np.diff(back) == 1).all()


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (1, 2, 7, 20, 55, 140):
        bench.push(10)
        for _ in range(cycles):
            bench.step(2, stall_out=0.2)
        bench.sim.reset()
        bench.forget()
    bench.push(20)
    bench.check(2)
