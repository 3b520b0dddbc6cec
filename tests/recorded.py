"""A device with a recording that a test makes up: passes through a block of two layers, and events."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from edgellm.runtime.words import Event
from edgellm.sim.design import Probe
from edgellm.sim.spans import LOGITS, Pass

BEATS, PERIOD, LATE = 4, 100, 20  # beats a vector, cycles from pass to pass, cycles from node to node
LAYERS = 2


def probe(number: int, node: str, tap: str | None, elements: int = BEATS) -> Probe:
    """A stream of one byte a beat; the block's tags have five in one beat."""
    lanes = elements if tap is None else 1
    tensor = "block_tag" if tap is None else node
    return Probe(number, node, "Op", tensor, tap, lanes, 8, False, elements, None)


class Recorded:
    """Pass k enters the block at cycle 100 k; node n of its way sends 4 beats from 20 n cycles later on."""

    def __init__(
        self, trips: Sequence[Pass], batches: Sequence[Sequence[Event]] = (), slots: int = 4
    ) -> None:
        names = ("embed", "qkv_acc", "final_norm", "argmax")
        probes = [probe(0, "loop", None, 5), *(probe(n, name, name) for n, name in enumerate(names, 1))]
        self.design = SimpleNamespace(layers=LAYERS, slots=slots, probes=tuple(probes))
        self.trips, self.batches = trips, list(batches)
        self.unfinished: dict[str, int] = {}
        self.asked: list[tuple] = []
        self.cycle = 0

    def probe(self, on: bool) -> None:
        self.asked.append(("probe", on))

    def submit(self, slot, prompt_ids, max_tokens, stop_ids=()) -> None:
        self.asked.append((slot, list(prompt_ids), max_tokens, set(stop_ids)))

    def wait(self) -> list[Event]:
        return list(self.batches.pop(0))

    def recorded(self, wanted: Probe):
        if wanted.tap is None:
            return np.array([self._tag(trip) for trip in self.trips]).reshape(-1, 5), np.zeros((0, 1))
        starts = [
            PERIOD * k + LATE * (wanted.id - 1)
            for k, trip in enumerate(self.trips)
            if self._sees(wanted, trip)
        ]
        done = starts[: len(starts) - self.unfinished.get(wanted.node, 0)]
        return np.zeros((len(done), BEATS)), np.array(done).reshape(-1, 1) + np.arange(BEATS)

    def _sees(self, wanted: Probe, trip: Pass) -> bool:
        if wanted.node == "embed":
            return trip.layer == 0
        return wanted.node == "qkv_acc" or (trip.layer == LAYERS - 1 and trip.logits)

    def _tag(self, trip: Pass) -> list[int]:
        number = trip.position | trip.slot << 16 | (LOGITS if trip.logits else 0) | trip.layer << 32
        return list(number.to_bytes(5, "little"))
