"""Compiled designs in Verilator: every stream of every node equals the golden model, whatever the folding."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from compiled import design
from shapes import SHARED_KV, TINY

from edgellm import cache
from edgellm.errors import Deviation
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.sampling import Sampling
from edgellm.sim import design as designs
from edgellm.sim import verilator
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.verify import verify

pytestmark = [pytest.mark.fpga, pytest.mark.sim]

# One layer has plain weight memories; odd lanes need converters of ratios that are no whole numbers.
DESIGNS = {"default": (TINY, 1, None), "one layer, odd folding": (SHARED_KV, 2, 5)}
COMPUTING = 19


def golden(folder: Path) -> GoldenModel:
    return GoldenModel(onnxfile.load(folder / "model" / "model.onnx"))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_stream_of_a_run_to_the_end_of_the_context(name: str) -> None:
    folder = design(*DESIGNS[name])
    model = golden(folder)
    prompt = [int(t) for t in np.random.default_rng(3).integers(0, model.arch.vocab, 9)]
    done = verify(Accelerator(folder), model, prompt, model.arch.context, [])
    steps = model.arch.context
    assert (done.finish_reason, done.nodes) == ("context", COMPUTING)
    assert done.vectors == (COMPUTING - 6) * model.arch.layers * steps + steps + 5 * (steps - len(prompt) + 1)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_stream_of_a_drawn_answer(name: str) -> None:
    folder = design(*DESIGNS[name])
    model = golden(folder)
    done = verify(Accelerator(folder), model, [1, 2, 3], 12, [], Sampling.of(1 << 60 | 77, 9.0))
    assert done.tokens != model.generate([1, 2, 3], 12).tokens


def test_a_design_in_the_cache_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = designs.load(design(TINY))
    library = verilator.build(found.top, found.source_files())
    monkeypatch.setattr(verilator, "build", lambda *_: library)
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    entry = cache.fetch("design", "key", lambda work: shutil.copytree(found.folder, work / "design"))
    device = Accelerator(entry / "design")
    assert cache.clear() == 0
    del device
    assert cache.clear() > 0


class Crowd:
    """Requests of all slots at random times, each compared with the golden answer of it alone."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.model, self.device = golden(folder), Accelerator(folder)
        self.rng = np.random.default_rng(seed)
        self.slots = self.device.design.slots
        self.history: list[list[int]] = [[] for _ in range(self.slots)]  # what each slot has filled
        self.running: dict[
            int, tuple[list[int], bool]
        ] = {}  # slot -> expected tokens, whether it may be cut short
        self.answered: dict[int, list[int]] = {}
        self.outcomes = {"length": 0, "context": 0, "cancelled": 0, "copied": 0}

    def act(self) -> None:
        """Submit to a free slot, behind a prefix that may be its own or another's, or cancel a busy one."""
        slot = int(self.rng.integers(self.slots))
        if slot in self.running:
            if self.rng.random() < 0.04:
                self.device.cancel(slot)
                self.running[slot] = self.running[slot][0], True
            return
        known = self.history[slot]
        other = int(self.rng.integers(self.slots))
        if other not in self.running and self.history[other] and self.rng.random() < 0.6:
            count = int(self.rng.integers(1, len(self.history[other]) + 1))
            self.device.copy(other, slot, count)
            known = self.history[other][:count]
            self.outcomes["copied"] += 1
        self.submit(slot, known[: int(self.rng.integers(len(known) + 1))])

    def submit(self, slot: int, prefix: list[int]) -> None:
        arch = self.model.arch
        prefix = prefix[: arch.context - 1]
        length = int(self.rng.integers(1, min(6, arch.context - len(prefix)) + 1))
        prompt = [int(token) for token in self.rng.integers(0, arch.vocab, length)]
        how = Sampling(int(self.rng.integers(1 << 62)), int(self.rng.choice([0, 4096, 40000])))
        limit = int(self.rng.integers(1, 12)) if self.rng.random() < 0.6 else arch.context
        self.device.submit(slot, prompt, limit, (), len(prefix), how)
        answer = self.model.generate([*prefix, *prompt], limit, (), how)
        self.history[slot] = [*prefix, *prompt]
        self.running[slot], self.answered[slot] = (answer.tokens, False), []

    def listen(self, **stalls: float) -> None:
        for event in self.device.wait(**stalls):
            self.answered[event.slot].append(event.token)
            if event.reason is not None:
                self.finish(event.slot, event.reason)

    def finish(self, slot: int, reason: str) -> None:
        expected, cancelled = self.running.pop(slot)
        said = self.answered[slot]
        assert said == expected[: len(said)]
        assert cancelled if reason == "cancelled" else len(said) == len(expected)
        self.outcomes[reason] += 1
        self.history[slot] += said[:-1]


@pytest.mark.parametrize("name", DESIGNS)
def test_no_slot_sees_the_others(name: str) -> None:
    """Random arrivals, cancels, lengths, seeds, prefixes used again and copied: every answer is that of a single run."""
    crowd = Crowd(design(*DESIGNS[name]), 6)
    for turn in range(1200):
        crowd.act()
        crowd.act()
        if crowd.running:
            crowd.listen(stall_in=0.2 * (turn % 2), stall_out=0.3 * (turn % 3), seed=turn)
    while crowd.running:
        crowd.listen()
    assert all(count >= 5 for count in crowd.outcomes.values()), crowd.outcomes


@pytest.mark.parametrize("name", DESIGNS)
def test_logits_for_the_host(name: str) -> None:
    folder = design(*DESIGNS[name])
    model, device = golden(folder), Accelerator(folder)
    prompt, cache = [3, 1, 2], model.new_cache()
    device.submit(0, prompt, 4, logits="all")
    device.submit(1, prompt, 3)
    device.submit(2, prompt, 1, logits="chosen")
    open_slots, seen = {0, 1, 2}, []
    while open_slots:
        for event in device.wait(stall_out=0.4, seed=2):
            open_slots -= {event.slot} if event.reason else set()
        seen += device.shown()
    answer = model.generate(prompt, 4).tokens
    fed = [*prompt, *answer[:-1]]
    logits = [model.step(cache, token, position) for position, token in enumerate(fed)]
    shown = {slot: [v for t, v in seen if t >> 16 & 0xFF == slot] for slot in range(3)}
    assert shown[1] == []
    assert np.array_equal(shown[0], logits)
    assert np.array_equal(shown[2], logits[2:3])


@pytest.mark.parametrize("name", DESIGNS)
def test_slots_and_stalls_do_not_change_the_answers(name: str) -> None:
    folder = design(*DESIGNS[name])
    model, device, rng = golden(folder), Accelerator(folder), np.random.default_rng(4)
    prompts = {slot: [int(t) for t in rng.integers(0, model.arch.vocab, 3 + 2 * slot)] for slot in range(4)}
    for slot, prompt in prompts.items():
        device.submit(slot, prompt, 8)
    answers: dict[int, list[int]] = {slot: [] for slot in prompts}
    waiting = set(prompts)
    while waiting:
        for event in device.wait(stall_in=0.3, stall_out=0.5, seed=5):
            answers[event.slot].append(event.token)
            if event.reason is not None:
                waiting.remove(event.slot)
    assert answers == {slot: model.generate(prompt, 8).tokens for slot, prompt in prompts.items()}


@pytest.mark.parametrize(("memory", "line", "bit"), [("gate_up_acc", 3, 1), ("rope", 1, 12), ("qkv", 5, 4)])
def test_a_changed_memory_is_found_at_its_node(memory: str, line: int, bit: int, tmp_path: Path) -> None:
    folder = shutil.copytree(design(TINY), tmp_path / "broken")
    image = next(
        path
        for path in (folder / "mem").iterdir()
        if path.name in (f"{memory}_weights.dat", f"{memory}_table_file.dat")
    )
    lines = image.read_text().splitlines()
    lines[line] = f"{int(lines[line], 16) ^ 1 << bit:0{len(lines[line])}x}"
    image.write_text("\n".join(lines) + "\n")
    with pytest.raises(Deviation) as found:
        verify(Accelerator(folder), golden(folder), [5, 6, 7, 8, 9], 4, [])
    assert found.value.node == memory
