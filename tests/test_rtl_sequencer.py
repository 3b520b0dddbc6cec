"""sequencer.sv with a Python model of everything between its token beats and the token that comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import LOGITS, numbers, simulation, tag

from edgellm.numerics.generation import greedy

pytestmark = pytest.mark.sim

SUBMIT = 1 << 28
NO_STOP = 0xFFFF
STOP, LENGTH, CONTEXT, REJECTED = 1, 2, 3, 4
REASONS = {"stop": STOP, "length": LENGTH, "context": CONTEXT}


@dataclass(frozen=True)
class Shape:
    slots: int
    context: int
    vocab: int


SHAPES = {"home": Shape(4, 256, 512), "small": Shape(3, 17, 23), "single": Shape(1, 5, 3)}


@dataclass
class Request:
    slot: int
    prompt: list[int]
    max_tokens: int = 4
    start: int = 0
    stops: tuple[int, int] = (NO_STOP, NO_STOP)
    events: list[int] = field(default_factory=list)  # expected, without the slot's bits

    def words(self, noise: int = 0) -> list[int]:
        """The command; `noise` fills the bits of prompt words that mean nothing."""
        head = [
            SUBMIT | self.slot << 16 | len(self.prompt),
            self.max_tokens << 16 | self.start,
            self.stops[1] << 16 | self.stops[0],
        ]
        return head + [noise << 16 | token for token in self.prompt]


def follow(shape: Shape, token: int, position: int) -> int:
    """The pretended model: next token after `token` at `position`."""
    return (token * 7 + position * 13 + (token ^ position)) % shape.vocab


def event(slot: int, token: int, reason: int = 0) -> int:
    return reason << 25 | (reason != 0) << 24 | slot << 16 | token


def valid(shape: Shape, request: Request) -> bool:
    room = len(request.prompt) > 0 and request.start + len(request.prompt) <= shape.context
    return request.slot < shape.slots and room and request.max_tokens > 0


def answer(shape: Shape, request: Request) -> tuple[list[int], list[tuple[int, int]]]:
    """Events and token beats (token, tag) of an accepted request, by the contract's own loop."""
    slot, start = request.slot, request.start
    bad = next((i for i, token in enumerate(request.prompt) if token >= shape.vocab), None)
    beats = [(token, tag(start + i, slot)) for i, token in enumerate(request.prompt[:bad])]
    if bad is not None:
        return [event(slot, 0, REJECTED)], beats
    beats[-1] = (beats[-1][0], beats[-1][1] | LOGITS)
    loop = greedy(
        lambda token, position: follow(shape, token, start + position),
        shape.context - start, request.prompt, request.max_tokens, request.stops,
    )  # fmt: skip
    tokens = []
    try:
        while True:
            tokens.append(next(loop))
    except StopIteration as end:
        reason = end.value
    if reason == "stop":
        before = tokens[-1] if tokens else request.prompt[-1]
        tokens.append(follow(shape, before, start + len(request.prompt) + len(tokens) - 1))
    for index, token in enumerate(tokens[:-1]):
        beats.append((token, tag(start + len(request.prompt) + index, slot) | LOGITS))
    last = event(slot, tokens[-1], REASONS[reason])
    return [event(slot, token) for token in tokens[:-1]] + [last], beats


class Bench:
    """The module, the pretended model behind it and the host before it."""

    def __init__(self, shape: Shape, run_dir: Path, seed: int = 4) -> None:
        self.shape, self.random = shape, np.random.default_rng(seed)
        self.sim = simulation(
            "sequencer", run_dir, seed, SLOTS=shape.slots, CONTEXT=shape.context, VOCAB=shape.vocab
        )
        self.forget()

    def forget(self) -> None:
        self.line: deque[tuple[int, int]] = deque()  # (cycle at which it returns, beat)
        self.beats: list[tuple[int, int]] = []
        self.events: list[int] = []
        self.beat_cycles: list[int] = []

    def submit(self, request: Request) -> None:
        self.sim.push("in0", request.words(int(self.random.integers(1 << 16))))

    def step(self, cycles: int = 1, delay: int = 20, **stalls: object) -> None:
        """Advance and return what is due; tokens return in the order in which they went out."""
        self.sim.run(cycles, seed=int(self.random.integers(1 << 30)), **stalls)  # type: ignore[arg-type]
        rows, stamps = self.sim.pop("out0")
        for beat, stamp in zip(numbers(rows), stamps, strict=True):
            token, label = beat >> 32, beat & 0xFFFFFFFF
            assert token < self.shape.vocab
            self.beats.append((token, label))
            self.beat_cycles.append(int(stamp))
            if label & LOGITS:
                following = follow(self.shape, token, label & 0xFFFF)
                self.line.append((self.sim.cycle + delay, following << 32 | label))
        due = []
        while self.line and self.line[0][0] <= self.sim.cycle:
            due.append(self.line.popleft()[1])
        if due:
            self.sim.push("in1", due)
        self.events += numbers(self.sim.pop("out1")[0])

    def of_slot(self, slot: int) -> tuple[list[int], list[tuple[int, int]]]:
        events = [word for word in self.events if word >> 16 & 0xFF == slot]
        return events, [beat for beat in self.beats if beat[1] >> 16 & 0xFF == slot]

    def run(self, requests: Sequence[Request], cycles: int = 3000, **options: object) -> None:
        for request in requests:
            self.submit(request)
        for _ in range(cycles // 10):
            self.step(10, **options)  # type: ignore[arg-type]

    def random_request(self, slot: int) -> Request:
        s, r = self.shape, self.random
        start = int(r.integers(max(0, s.context - 20), s.context)) if r.random() < 0.5 else 0
        length = int(r.integers(1, min(s.context - start, 12) + 1))
        prompt = [int(token) for token in r.integers(0, s.vocab, length)]
        stops = [int(r.integers(s.vocab)) if r.random() < 0.6 else NO_STOP for _ in range(2)]
        limit = int(r.integers(1, 20)) if r.random() < 0.9 else 65535
        return Request(slot, prompt, limit, start, (stops[0], stops[1]))


class Host:
    """Random SUBMITs to one slot; at most one request beyond the running one, which may or may not be busy."""

    def __init__(self, bench: Bench, slot: int) -> None:
        self.bench, self.slot = bench, slot
        self.queue: list[tuple[Request, bool]] = []  # (request, whether the slot was surely free)
        self.seen = self.seen_beats = 0
        self.events: list[int] = []  # expected of the request at the front
        self.beats: list[tuple[int, int]] = []  # expected in all
        self.outcomes = {STOP: 0, LENGTH: 0, CONTEXT: 0, REJECTED: 0}

    def act(self) -> None:
        if len(self.queue) == 2 or (self.queue and not self.events) or self.bench.random.random() < 0.7:
            return
        request, free = self.bench.random_request(self.slot), not self.queue
        if free and self.bench.random.random() < 0.2:
            request.prompt[int(self.bench.random.integers(len(request.prompt)))] = self.bench.shape.vocab
        elif self.bench.random.random() < 0.2:
            flaw = int(self.bench.random.integers(3))
            if flaw == 0:
                request.prompt = []
            elif flaw == 1:
                request.max_tokens = 0
            else:
                request.start = self.bench.shape.context - len(request.prompt) + 1
        self.queue.append((request, free))
        self.bench.submit(request)
        if free and valid(self.bench.shape, request):
            self.accept()

    def accept(self) -> None:
        self.events, beats = answer(self.bench.shape, self.queue[0][0])
        self.beats += beats

    def check(self) -> None:
        """Compare the events that came since the last call."""
        events, beats = self.bench.of_slot(self.slot)
        for word in events[self.seen :]:
            self.judge(word)
        self.seen = len(events)
        known = min(len(beats), len(self.beats))
        assert beats[self.seen_beats : known] == self.beats[self.seen_beats : known]
        self.seen_beats = known

    def judge(self, word: int) -> None:
        if word == event(self.slot, 0, REJECTED) and self.events[:1] != [word]:
            request, free = self.queue.pop()
            assert not valid(self.bench.shape, request) or not free
            self.outcomes[REJECTED] += 1
            return
        if not self.events:  # the second request found the slot free after all
            self.accept()
        assert word == self.events.pop(0)
        if word >> 24 & 1:
            assert not self.events
            self.queue.pop(0)
            self.outcomes[word >> 25 & 7] += 1


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path)


@pytest.mark.parametrize(
    ("stalls", "delay"),
    [
        ({}, 5),
        ({"stall_in": 0.5, "stall_out": 0.3}, 30),
        ({"stall_out": {"out1": 0.9}}, 0),
        ({"stall_out": {"out0": 0.95}}, 3),
    ],
    ids=["free", "stalls", "slow host", "slow pipeline"],
)
def test_random_requests(bench: Bench, stalls: dict[str, object], delay: int) -> None:
    hosts = [Host(bench, slot) for slot in range(bench.shape.slots)]
    for _ in range(1500):
        for host in hosts:
            host.act()
        bench.step(int(bench.random.integers(1, 12)), delay=delay, **stalls)
        for host in hosts:
            host.check()
    for _ in range(3000):
        if not any(host.queue for host in hosts):
            break
        bench.step(10, delay=delay)
        for host in hosts:
            host.check()
    bench.step(100)
    for host in hosts:
        host.check()
        assert not host.queue
        assert bench.of_slot(host.slot)[1] == host.beats
        assert sum(host.outcomes[reason] for reason in REASONS.values()) > 0
        assert host.outcomes[REJECTED] > 0


def test_words_of_one_request(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.sim.push("in0", [0x1002_0003, 0x0002_0000, 0xFFFF_FFFF, 0xABCD_0005, 0x0000_0006, 0x0000_0007])
    bench.sim.run(60)
    assert numbers(bench.sim.pop("out0")[0]) == [
        0x0000_0005_0002_0000,
        0x0000_0006_0002_0001,
        0x0000_0007_0102_0002,
    ]
    bench.sim.push("in1", [0xFFFF_0009_0102_0002])
    bench.sim.run(60)
    assert numbers(bench.sim.pop("out0")[0]) == [0x0000_0009_0102_0003]
    assert numbers(bench.sim.pop("out1")[0]) == [0x0002_0009]
    bench.sim.push("in1", [0x0000_000A_0102_0003])
    bench.sim.run(60)
    assert numbers(bench.sim.pop("out1")[0]) == [0x0502_000A]
    assert bench.sim.available("out0") == 0


def test_finish_reasons_in_the_order_of_the_contract(tmp_path: Path) -> None:
    shape = SHAPES["small"]
    bench = Bench(shape, tmp_path)
    full = [3] * shape.context
    first = follow(shape, 3, shape.context - 1)
    for request, reason in (
        (Request(0, full, 1, stops=(NO_STOP, first)), STOP),
        (Request(0, full, 1, stops=(first, NO_STOP)), STOP),
        (Request(0, full, 1), LENGTH),
        (Request(0, full, 2), CONTEXT),
        (Request(0, full, 65535), CONTEXT),
        (Request(0, [3], 65535, start=shape.context - 1), CONTEXT),
    ):
        bench.forget()
        bench.run([request], cycles=300)
        assert bench.events == [event(0, first, reason)]


def test_bad_requests_are_drained_and_answered_once(bench: Bench) -> None:
    s = bench.shape
    bad = [
        Request(s.slots, [1, 2]),
        Request(255, [0xFFFF] * 3),
        Request(0, []),
        Request(0, [1], max_tokens=0),
        Request(0, [1] * (s.context + 1)),
        Request(0, [1, 1], start=s.context - 1),
        Request(0, [1], start=65535),
        Request(0, [s.vocab]),
        Request(0, [1, 2, 65535]),
        Request(0, [s.vocab, 1, s.vocab]),
    ]
    bench.run(bad, cycles=1500)
    assert bench.events == [event(request.slot, 0, REJECTED) for request in bad]
    assert bench.beats == [(1, tag(0, 0)), (2, tag(1, 0))]  # before the bad token, never asking for logits
    good = Request(0, [1, 2], 3)
    bench.forget()
    bench.run([good])
    assert (bench.events, bench.beats) == answer(s, good)


def test_busy_slot_is_rejected_and_the_running_request_goes_on(bench: Bench) -> None:
    running = Request(0, [1], 3)
    bench.run([running, Request(0, [2, 2, 2])], cycles=100, delay=400)
    assert bench.events == [event(0, 0, REJECTED)]
    bench.run([], delay=400)
    assert (bench.events[1:], bench.beats) == answer(bench.shape, running)


def test_words_that_are_no_submit_are_dropped(bench: Bench) -> None:
    bench.sim.push("in0", [0, 0xFFFF_FFFF, 0x2000_0001])
    request = Request(0, [2], 2)
    bench.run([request])
    assert (bench.events, bench.beats) == answer(bench.shape, request)


def test_prompt_tokens_go_out_back_to_back(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.run([Request(1, list(range(200)), 1)], cycles=400)
    cycles = np.array(bench.beat_cycles[:200])
    assert (np.diff(cycles) == 1).all()
    assert cycles[0] - int(bench.sim.accepted("in0")[3]) == 3


def test_generated_tokens_go_before_prompt_tokens(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.sim.push("in0", Request(0, [7], 9).words() + Request(1, list(range(200)), 9).words())
    bench.sim.run(40)
    bench.sim.push("in1", [follow(bench.shape, 7, 0) << 32 | tag(0, 0) | LOGITS])
    bench.sim.run(400)
    rows, cycles = bench.sim.pop("out0")
    labels = [beat & 0xFFFFFFFF for beat in numbers(rows)]
    place = labels.index(tag(1, 0) | LOGITS)
    back = int(bench.sim.accepted("in1")[0])
    assert int(cycles[place]) - back == 4
    assert int(bench.sim.pop("out1")[1][0]) - back == 4
    assert len(labels) == 202


def test_feedback_is_always_taken(bench: Bench) -> None:
    slots = range(bench.shape.slots)
    bench.run([Request(slot, [1, 2, 0], 9) for slot in slots], cycles=100, delay=10_000)
    returned = [beat for _, beat in bench.line]
    assert len(returned) == len(slots)
    bench.sim.push("in0", Request(0, [1] * 2).words() + Request(0, []).words())
    bench.sim.run(100, stall_out=1.0)
    bench.sim.push("in1", returned)
    bench.sim.run(100, stall_out=1.0)
    assert bench.sim.available("in1") == 0
    bench.line.clear()
    bench.run([])
    for slot in slots:
        events, beats = bench.of_slot(slot)
        expected = answer(bench.shape, Request(slot, [1, 2, 0], 9))
        assert ([word for word in events if word >> 25 & 7 != REJECTED], beats) == expected
    assert sum(word >> 25 & 7 == REJECTED for word in bench.events) == 2


def test_reset_in_the_middle(bench: Bench) -> None:
    for cycles in (2, 4, 5, 9, 30, 77):
        for slot in range(bench.shape.slots):
            bench.submit(Request(slot, [1, 2, 1], 5))
        for _ in range(cycles):
            bench.step(delay=3)
        bench.sim.reset()
        bench.forget()
    requests = [Request(slot, [2, 1, 0], 5) for slot in range(bench.shape.slots)]
    bench.run(requests)
    for request in requests:
        assert bench.of_slot(request.slot) == answer(bench.shape, request)
