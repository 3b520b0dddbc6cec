"""Sizing FIFOs: the search on a device of few rules, then on a real one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from compiled import design, random_folding
from shapes import TINY

from edgellm.compiler.compile import compile_model
from edgellm.compiler.folding import Folding
from edgellm.errors import Deadlock, SimulationError
from edgellm.runtime.words import Event
from edgellm.sim import fifos
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.harness import Fifo


@dataclass
class Toy:
    """Loses a cycle for each beat that a FIFO holds less than it needs, and stands still below its least."""

    needs: dict[str, int]
    least: dict[str, int] = field(default_factory=dict)
    fragile: bool = False  # tokens follow stalls
    cycle: int = 0

    def __post_init__(self) -> None:
        self.design = SimpleNamespace(context=40, vocab=9, slots=3, folder="toy")
        self.known = {name: Fifo(k, name, 64, 8 + k, 0) for k, name in enumerate(self.needs)}
        self.depths = {name: fifo.depth for name, fifo in self.known.items()}
        self.runs = 0

    def fifos(self) -> dict[str, Fifo]:
        return {name: replace(fifo, peak=self.needs[name] + 5) for name, fifo in self.known.items()}

    def restrict(self, fifo: Fifo, depth: int) -> None:
        self.depths[fifo.path] = depth

    def reset(self) -> None:
        self.pending: list[Event] = []

    def submit(self, slot: int, prompt: tuple[int, ...], tokens: int) -> None:
        self.pending.append(Event(sum(prompt) % 9, slot, "length", 0))

    def wait(self, stall_in: float = 0.0, stall_out: float = 0.0, seed: int = 0) -> list[Event]:
        self.runs += 1
        if any(self.depths[name] < least for name, least in self.least.items()):
            raise Deadlock("stuck")
        lost = sum(max(0, need - self.depths[name]) for name, need in self.needs.items())
        self.cycle += 100 + lost
        off = int(self.fragile and stall_out > 0)
        return [replace(event, cycle=self.cycle, token=event.token + off) for event in self.pending]


def test_every_fifo_becomes_as_shallow_as_it_can() -> None:
    toy = Toy({"a": 17, "b": 3, "c": 40})
    sized = {one.stream: one for one in fifos.size(toy)}
    assert {name: one.depth for name, one in sized.items()} == {"a": 17, "b": 3, "c": 40}
    assert (sized["a"].before, sized["a"].peak, sized["a"].bits) == (64, 22, 8)
    assert toy.depths == {"a": 17, "b": 3, "c": 40}


def test_a_depth_that_deadlocks_is_too_shallow() -> None:
    assert [one.depth for one in fifos.size(Toy({"a": 3}, least={"a": 7}))] == [7]


def test_no_fifo_gets_deeper_than_it_was() -> None:
    toy = Toy({"a": 200})
    assert fifos.size(toy)[0].depth == 64


def test_tokens_that_follow_stalls_are_an_error() -> None:
    with pytest.raises(SimulationError, match=r"tokens changed when the host stalled \(seed 0\)"):
        fifos.size(Toy({"a": 5}, fragile=True))


def test_a_design_without_fifos_is_refused() -> None:
    with pytest.raises(SimulationError, match="toy: the design has no FIFO to size"):
        fifos.size(Toy({}))


def test_loads_fit_any_context() -> None:
    for context in (fifos.GENERATED + 1, 24, 4096):
        toy = Toy({"a": 1})
        toy.design.context = context
        loads = fifos.jobs(toy)
        assert all(1 <= len(prompt) <= context - fifos.GENERATED for job in loads for prompt in job.prompts)
        assert [len(job.prompts) for job in loads] == [1, 3, 3]


@pytest.mark.fpga
@pytest.mark.sim
def test_a_design_built_with_the_depths_found_loses_no_cycle(tmp_path) -> None:
    plain = design(TINY, folded=3)
    device = Accelerator(plain)
    loads = fifos.jobs(device)
    before = [fifos.cycles(device, job) for job in loads]
    found = fifos.size(device)
    assert sum(one.bits * one.depth for one in found) < 0.8 * sum(one.bits * one.before for one in found)
    folding = Folding(random_folding(TINY, 3).nodes, {one.stream: one.depth for one in found})
    compile_model(plain.parent / "toy", "aup-zu3", tmp_path / "sized", folding)
    sized = Accelerator(tmp_path / "sized")
    assert {name: fifo.depth for name, fifo in sized.fifos().items()} == dict(folding.fifos)
    assert [fifos.cycles(sized, job) for job in loads] <= before


@pytest.mark.fpga
@pytest.mark.sim
def test_too_shallow_fifos_stand_still_or_cost_cycles() -> None:
    """The search relies on this to stop."""
    device = Accelerator(design(TINY, folded=3))
    job = fifos.jobs(device)[2]
    before = fifos.cycles(device, job)
    for fifo in device.fifos().values():
        device.restrict(fifo, 2)
    with contextlib.suppress(Deadlock):
        assert fifos.cycles(device, job) > before
