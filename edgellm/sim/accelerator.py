"""The simulated accelerator as a device: commands in, events out, cycles counted (docs/hardware.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgellm import progress
from edgellm.errors import Deadlock, UsageError
from edgellm.sim import design as designs
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Simulation

COMMAND, EVENT = "in0", "out0"
WORD_BITS = 32
SUBMIT = 1 << 28
NO_STOP = 0xFFFF
STOP_IDS = 2
REASONS = {1: "stop", 2: "length", 3: "context", 4: "rejected"}
MOST_CYCLES = 10**8  # of one wait


@dataclass(frozen=True, slots=True)
class Event:
    """A generated token; `reason` is set with the last one of an answer."""

    token: int
    slot: int
    reason: str | None
    cycle: int


class Accelerator:
    """One compiled design in Verilator. Slots are independent; events of all slots arrive in one order."""

    def __init__(self, folder: Path, seed: int = 1, finn_core: bool = False) -> None:
        self.design = designs.load(folder)
        with progress.track(f"Building the simulator of {self.design.model['name']} for {self.design.board}"):
            library = verilator.build(self.design.top, self.design.source_files(finn_core))
        self._sim = Simulation(library, self.design.folder, seed=seed)
        self.reset()

    @property
    def cycle(self) -> int:
        """Clock cycles so far."""
        return self._sim.cycle

    def reset(self) -> None:
        """Free every slot and forget whatever is inside."""
        self._sim.reset()
        self._sim.pop(EVENT)

    def submit(
        self,
        slot: int,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        start: int = 0,
    ) -> None:
        """Queue a prompt for `slot`, first token at position `start`. UsageError for more than two stop ids."""
        if len(stop_ids) > STOP_IDS:
            raise UsageError(
                f"{len(stop_ids)} stop ids: the accelerator compares {STOP_IDS}; use stop strings instead"
            )
        first, second = (*stop_ids, NO_STOP, NO_STOP)[:2]
        limit = min(max_tokens, self.design.context + 1)
        header = [SUBMIT | slot << 16 | len(prompt_ids), limit << 16 | start, second << 16 | first]
        words = np.array([*header, *prompt_ids], np.int64)
        self._sim.push(COMMAND, streams.pack(words[:, None], WORD_BITS))

    def wait(self, stall_in: float = 0.0, stall_out: float = 0.0, seed: int = 0) -> list[Event]:
        """Run until at least one event is there, and take all there are. Deadlock when nothing moves any more."""
        if not self._sim.run(MOST_CYCLES, {EVENT: 1}, stall_in=stall_in, stall_out=stall_out, seed=seed):
            raise Deadlock(f"no event in {MOST_CYCLES:,} cycles")
        rows, cycles = self._sim.pop(EVENT)
        words = streams.unpack(rows, WORD_BITS, 1, signed=False)[:, 0]
        return [_event(int(word), int(cycle)) for word, cycle in zip(words, cycles, strict=True)]

    def probe(self, on: bool) -> None:
        """Record every observed stream from here on, or stop; starting forgets what was recorded before."""
        if on:
            self._sim.clear_probes()
        self._sim.probe(on)

    def recorded(self, probe: designs.Probe) -> tuple[np.ndarray, np.ndarray]:
        """Whole vectors of a stream, int64 [vectors, elements], and the cycle of each beat, [vectors, beats]."""
        rows, cycles = self._sim.probes(probe.id)
        whole = len(rows) // probe.beats * probe.beats
        width = streams.beat_bytes(probe.lanes, probe.bits)
        values = streams.unpack(rows[:whole, :width], probe.bits, probe.lanes, probe.signed)
        return values.reshape(-1, probe.elements), cycles[:whole].astype(np.int64).reshape(-1, probe.beats)


def _event(word: int, cycle: int) -> Event:
    reason = REASONS.get(word >> 25 & 7, "rejected") if word >> 24 & 1 else None
    return Event(word & 0xFFFF, word >> 16 & 0xFF, reason, cycle)
