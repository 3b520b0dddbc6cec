"""sequencer.sv with a Python model of everything between its token beats and the token that comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import LOGITS, numbers, simulation, tag

from edgellm.numerics.generation import generate

pytestmark = pytest.mark.sim

SUBMIT, CANCEL, COPY = 1 << 28, 2 << 28, 3 << 28
DUMP, SILENT, COPIED = 1 << 25, 1 << 26, 1 << 27  # tag flags beside LOGITS
ALL_LOGITS, SHOW_LOGITS = 2 << 24, 1 << 24  # of SUBMIT
NO_STOP = 0xFFFF
STOP, LENGTH, CONTEXT, REJECTED, CANCELLED = 1, 2, 3, 4, 5
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
    temperature: int = 0
    seed: int = 0
    flags: int = 0

    def words(self, noise: int = 0) -> list[int]:
        """The command; `noise` fills the bits that mean nothing."""
        head = [
            SUBMIT | self.flags | self.slot << 16 | len(self.prompt),
            self.max_tokens << 16 | self.start,
            self.stops[1] << 16 | self.stops[0],
            self.temperature << 16 | noise,
            self.seed & 0xFFFFFFFF,
            self.seed >> 32,
        ]
        return head + [noise << 16 | token for token in self.prompt]

    @property
    def head(self) -> int:
        """Flags of a token whose successor is chosen."""
        return LOGITS | (DUMP if self.flags & SHOW_LOGITS else 0)


def follow(shape: Shape, token: int, position: int) -> int:
    """The pretended model: next token after `token` at `position`."""
    return (token * 7 + position * 13 + (token ^ position)) % shape.vocab


def event(slot: int, token: int, reason: int = 0) -> int:
    return reason << 25 | (reason != 0) << 24 | slot << 16 | token


def valid(shape: Shape, request: Request, filled: int = 1 << 16) -> bool:
    room = len(request.prompt) > 0 and request.start + len(request.prompt) <= shape.context
    return request.slot < shape.slots and room and request.max_tokens > 0 and request.start <= filled


def answer(shape: Shape, request: Request) -> tuple[list[int], list[tuple[int, int]]]:
    """Events and token beats (token, tag) of an accepted request, by the contract's own loop."""
    slot, start = request.slot, request.start
    bad = next((i for i, token in enumerate(request.prompt) if token >= shape.vocab), None)
    silent = SILENT | request.head if request.flags & ALL_LOGITS else 0
    beats = [(token, tag(start + i, slot) | silent) for i, token in enumerate(request.prompt[:bad])]
    if bad is not None:
        return [event(slot, 0, REJECTED)], beats
    beats[-1] = (beats[-1][0], tag(start + len(request.prompt) - 1, slot) | request.head)
    loop = generate(
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
        beats.append((token, tag(start + len(request.prompt) + index, slot) | request.head))
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
        self.requests: list[tuple[int, int, int]] = []  # (position, temperature, seed) of beats with LOGITS

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
        for word in numbers(self.sim.pop("out2")[0]):
            self.requests.append((word >> 64 & 0xFFFF, word >> 80, word & (1 << 64) - 1))

    def check_requests(self, requests: Sequence[Request]) -> None:
        """Every beat with LOGITS has asked for its own slot's seed and temperature; one request a slot."""
        of_slot = {request.slot: (request.temperature, request.seed) for request in requests}
        labels = [label for _, label in self.beats if label & LOGITS]
        assert self.requests == [(label & 0xFFFF, *of_slot[label >> 16 & 0xFF]) for label in labels]

    def of_slot(self, slot: int) -> tuple[list[int], list[tuple[int, int]]]:
        events = [word for word in self.events if word >> 16 & 0xFF == slot]
        return events, [beat for beat in self.beats if beat[1] >> 16 & 0xFF == slot]

    def run(self, requests: Sequence[Request], cycles: int = 3000, **options: object) -> None:
        for request in requests:
            self.submit(request)
        for _ in range(cycles // 10):
            self.step(10, **options)  # type: ignore[arg-type]

    def random_request(self, slot: int, filled: int = 0) -> Request:
        s, r = self.shape, self.random
        start = int(r.integers(min(filled, s.context - 1) + 1)) if r.random() < 0.5 else 0
        length = int(r.integers(1, min(s.context - start, 12) + 1))
        prompt = [int(token) for token in r.integers(0, s.vocab, length)]
        stops = [int(r.integers(s.vocab)) if r.random() < 0.6 else NO_STOP for _ in range(2)]
        limit = int(r.integers(1, 20)) if r.random() < 0.9 else 65535
        seed, flags = int(r.integers(1 << 63)), int(r.integers(4)) << 24
        return Request(
            slot, prompt, limit, start, (stops[0], stops[1]), int(r.integers(1 << 16)), seed, flags
        )


class Host:
    """Random SUBMITs to one slot; at most one request beyond the running one, which may or may not be busy."""

    def __init__(self, bench: Bench, slot: int) -> None:
        self.bench, self.slot = bench, slot
        self.queue: list[tuple[Request, bool]] = []  # (request, whether the slot was surely free)
        self.seen = self.seen_beats = 0
        self.events: list[int] = []  # expected of the request at the front
        self.beats: list[tuple[int, int]] = []  # expected in all
        self.outcomes = {STOP: 0, LENGTH: 0, CONTEXT: 0, REJECTED: 0}
        self.filled = 0  # positions, once all answers are read

    def act(self) -> None:
        if len(self.queue) == 2 or (self.queue and not self.events) or self.bench.random.random() < 0.7:
            return
        request, free = self.bench.random_request(self.slot, self.filled), not self.queue
        if free and self.bench.random.random() < 0.2:
            request.prompt[int(self.bench.random.integers(len(request.prompt)))] = self.bench.shape.vocab
        elif self.bench.random.random() < 0.2:
            flaw = int(self.bench.random.integers(4))
            if flaw == 3:
                request.start = self.filled + 30
            elif flaw == 0:
                request.prompt = []
            elif flaw == 1:
                request.max_tokens = 0
            else:
                request.start = self.bench.shape.context - len(request.prompt) + 1
        self.queue.append((request, free))
        self.bench.submit(request)
        if free and valid(self.bench.shape, request, self.filled):
            self.accept()

    def accept(self) -> None:
        request = self.queue[0][0]
        self.events, beats = answer(self.bench.shape, request)
        self.beats += beats
        rejected = self.events[-1] >> 25 & 7 == REJECTED
        self.filled = request.start if rejected else (beats[-1][1] & 0xFFFF) + 1

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
            assert not valid(self.bench.shape, request, self.filled) or not free
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
    header = [0x1002_0003, 0x0002_0000, 0xFFFF_FFFF, 0x1000_ABCD, 0x89AB_CDEF, 0x0123_4567]
    bench.sim.push("in0", [*header, 0xABCD_0005, 0x0000_0006, 0x0000_0007])
    bench.sim.run(60)
    assert numbers(bench.sim.pop("out2")[0]) == [0x1000_0002_0123_4567_89AB_CDEF]
    assert numbers(bench.sim.pop("out0")[0]) == [
        0x0000_0005_0002_0000,
        0x0000_0006_0002_0001,
        0x0000_0007_0102_0002,
    ]
    bench.sim.push("in1", [0xFFFF_0009_0102_0002])
    bench.sim.run(60)
    assert numbers(bench.sim.pop("out0")[0]) == [0x0000_0009_0102_0003]
    assert numbers(bench.sim.pop("out1")[0]) == [0x0002_0009]
    assert numbers(bench.sim.pop("out2")[0]) == [0x1000_0003_0123_4567_89AB_CDEF]
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
        (Request(0, [3], 65535, start=shape.context - 1), CONTEXT),  # behind what the others filled
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
        Request(0, [1], start=1),  # nothing is filled
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


def test_words_that_are_no_command_are_dropped(bench: Bench) -> None:
    bench.sim.push("in0", [0, 0xFFFF_FFFF, 0x4000_0001, CANCEL, CANCEL | 0xFF << 16])
    request = Request(0, [2], 2)
    bench.run([request])
    assert (bench.events, bench.beats) == answer(bench.shape, request)


def test_prompt_tokens_go_out_back_to_back(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.run([Request(1, list(range(200)), 1)], cycles=400)
    cycles = np.array(bench.beat_cycles[:200])
    assert (np.diff(cycles) == 1).all()
    assert cycles[0] - int(bench.sim.accepted("in0")[6]) == 3


def test_every_token_with_logits_asks_for_its_slots_randomness(bench: Bench) -> None:
    requests = [
        Request(slot, [1, 0], 5, 0, seed=7**slot << 30, temperature=slot + 1)
        for slot in range(bench.shape.slots)
    ]
    bench.run(requests, stall_out={"out2": 0.8})
    bench.check_requests(requests)
    assert len(bench.requests) == sum(len(answer(bench.shape, request)[0]) for request in requests)


def test_logits_of_the_prompt_come_back_silently(bench: Bench) -> None:
    request = Request(0, [1, 2, 0, 1], 1, flags=ALL_LOGITS | SHOW_LOGITS, seed=3)
    bench.run([request], cycles=300)
    assert (bench.events, bench.beats) == answer(bench.shape, request)
    assert [label >> 24 for _, label in bench.beats] == [7, 7, 7, 3]
    bench.check_requests([request])


def test_cancel(bench: Bench) -> None:
    """The next generated token is the last; the slot is free for a request that is not cancelled."""
    requests = [Request(slot, [1], 65535) for slot in range(bench.shape.slots)]
    bench.run(requests, cycles=60, delay=400)
    bench.sim.push("in0", [CANCEL])
    again = Request(0, [2], 2)
    bench.run([], cycles=500, delay=400)
    token = follow(bench.shape, 1, 0)
    assert bench.of_slot(0)[0] == [event(0, token, CANCELLED)]
    assert len(bench.of_slot(0)[1]) == 1
    bench.forget()
    bench.run([again], delay=5)
    assert bench.of_slot(0) == answer(bench.shape, again)


def test_cancel_of_a_free_slot_does_nothing(bench: Bench) -> None:
    bench.sim.push("in0", [CANCEL])
    request = Request(0, [1], 3)
    bench.run([request])
    assert (bench.events, bench.beats) == answer(bench.shape, request)


def test_copy(tmp_path: Path) -> None:
    """Slot 2 takes over what slot 1 has filled and goes on behind it."""
    bench = Bench(SHAPES["home"], tmp_path)
    first = Request(1, [5, 6, 7], 2)
    bench.run([first], cycles=300)
    bench.forget()
    bench.sim.push("in0", [COPY | 2 << 16 | 4, 1])
    second = Request(2, [9], 3, start=4)
    bench.run([second], cycles=300)
    events, beats = answer(bench.shape, second)
    assert bench.events == events
    assert bench.beats == [(0, 1 << 28 | COPIED | tag(3, 2)), *beats]


@pytest.mark.parametrize(
    ("target", "count", "source"),
    [(2, 5, 1), (2, 0, 1), (2, 1, 3), (2, 1, 4), (2, 1, 255), (0, 1, 1), (4, 1, 1)],
    ids=[
        "more than filled",
        "nothing",
        "empty source",
        "no source",
        "far source",
        "busy target",
        "no target",
    ],
)
def test_bad_copies_are_rejected(tmp_path: Path, target: int, count: int, source: int) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.run([Request(1, [5, 6, 7], 2)], cycles=300)
    bench.run([Request(0, [1], 9)], cycles=50, delay=10_000)
    bench.forget()
    bench.sim.push("in0", [COPY | target << 16 | count, source])
    bench.run([], cycles=100)
    assert bench.events == [event(target, 0, REJECTED)]
    assert bench.beats == []


def test_a_rejected_prompt_loses_what_was_filled_behind_its_start(tmp_path: Path) -> None:
    bench = Bench(SHAPES["home"], tmp_path)
    bench.run([Request(0, [1, 2, 3, 4], 1)], cycles=200)
    bench.run([Request(0, [5, 512], 1, start=1)], cycles=200)
    bench.forget()
    bench.run([Request(0, [7], 1, start=2), Request(0, [7], 1, start=1)], cycles=300)
    assert [word >> 25 & 7 for word in bench.events] == [REJECTED, LENGTH]


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
