"""Cycles under load: what is counted, on a device whose pace is known, and on a compiled design."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from compiled import design
from shapes import TINY

from edgellm.errors import UsageError
from edgellm.runtime.words import Event
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.load import measure


@dataclass
class Shape:
    slots: int = 4
    context: int = 128
    vocab: int = 50


class Metronome:
    """A device that takes 10 cycles a prompt token, then 100 a token of one slot or 40 of the pipeline."""

    def __init__(self) -> None:
        self.design, self.cycle = Shape(), 0
        self.filled: dict[int, int] = {}
        self.waiting: dict[int, tuple[int, int]] = {}  # slot -> cycle of the first token, tokens

    def submit(self, slot: int, prompt: list[int], tokens: int, start: int = 0) -> None:
        assert start <= self.filled.get(slot, 0)
        self.filled[slot] = start + len(prompt) + tokens - 1
        self.cycle += 10 * len(prompt)
        self.waiting[slot] = self.cycle, tokens

    def wait(self) -> list[Event]:
        pace = max(100, 40 * len(self.waiting))
        events = [
            Event(1, slot, "length" if index == tokens - 1 else None, first + pace * (index + 1))
            for slot, (first, tokens) in self.waiting.items()
            for index in range(tokens)
        ]
        self.waiting.clear()
        events.sort(key=lambda event: event.cycle)
        self.cycle = events[-1].cycle
        return events


def test_what_is_counted():
    load = measure(Metronome())
    assert (load.slots, load.position, load.prompt) == (4, 64, 32)
    assert load.first_token == 320 + 100
    assert load.single == 100
    assert load.busy == pytest.approx(40, abs=2)
    assert load.to_dict()["busy"] == load.busy


@pytest.mark.parametrize("position", [5, 120])
def test_positions_without_room(position):
    with pytest.raises(
        UsageError,
        match=f"position {position} with 16 tokens around it: must lie 13 inside the context of 128",
    ):
        measure(Metronome(), position)


@pytest.mark.fpga
@pytest.mark.sim
def test_a_full_pipeline_is_faster_a_token():
    load = measure(Accelerator(design(TINY)), position=12, prompt=6, window=4)
    assert load.first_token > load.single > load.busy > 0
    assert load.single > 1.5 * load.busy
