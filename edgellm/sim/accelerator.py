"""The simulated accelerator as a device: commands in, events out, cycles counted (docs/hardware.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from edgellm import cache, progress
from edgellm.errors import Deadlock
from edgellm.numerics.sampling import GREEDY, Sampling
from edgellm.runtime import words
from edgellm.runtime.words import Event, Logits
from edgellm.sim import design as designs
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Fifo, Simulation

COMMAND, EVENT, SHOWN = "in0", "out0", "out1"
WORD_BITS = 32
FIFO = "_fifo"  # behind the name of its stream
MOST_CYCLES = 10**8  # of one wait


class Accelerator:
    """One compiled design in Verilator. Slots are independent; events of all slots arrive in one order."""

    def __init__(self, folder: Path, seed: int = 1, finn_core: bool = False) -> None:
        self.design = designs.load(folder)
        cache.hold(folder, self)
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
        self._sim.pop(SHOWN)
        self._shown = np.zeros((0, 0), np.uint8)

    def submit(
        self,
        slot: int,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        start: int = 0,
        sampling: Sampling = GREEDY,
        logits: Logits = "none",
    ) -> None:
        """Queue a prompt for `slot`, first token at position `start`. UsageError for more than two stop ids.

        `logits`: which go to the host, those of `chosen` tokens or of `all`, the prompt's too (see `shown`).
        """
        limit = min(max_tokens, self.design.context + 1)
        self.send(words.submit(slot, prompt_ids, limit, stop_ids, start, sampling, logits))

    def cancel(self, slot: int) -> None:
        """Let the next token of `slot` be its last; nothing happens when the slot is free."""
        self.send(words.cancel(slot))

    def copy(self, source: int, target: int, positions: int) -> None:
        """Fill the first `positions` of a free slot from another one, which must have filled them."""
        self.send(words.copy(source, target, positions))

    def shown(self) -> list[tuple[int, np.ndarray]]:
        """Logits that came since the last call: (tag, int16 [vocab]) each, in the order of the tokens."""
        rows, _ = self._sim.pop(SHOWN)
        self._shown = np.concatenate([self._shown, rows]) if len(self._shown) else rows
        beats = self.design.shown_beats
        whole = len(self._shown) // beats
        taken, self._shown = self._shown[: whole * beats], self._shown[whole * beats :]
        return [_logits(vector, self.design.vocab) for vector in np.split(taken, whole)] if whole else []

    def send(self, command: Sequence[int]) -> None:
        """Queue the words of a command."""
        self._sim.push(COMMAND, streams.pack(np.array(command, np.int64)[:, None], WORD_BITS))

    def wait(self, stall_in: float = 0.0, stall_out: float = 0.0, seed: int = 0) -> list[Event]:
        """Run until at least one event is there, and take all there are. Deadlock when nothing moves any more."""
        if not self._sim.run(MOST_CYCLES, {EVENT: 1}, stall_in=stall_in, stall_out=stall_out, seed=seed):
            raise Deadlock(f"no event in {MOST_CYCLES:,} cycles")
        rows, cycles = self._sim.pop(EVENT)
        found = streams.unpack(rows, WORD_BITS, 1, signed=False)[:, 0]
        return [words.event(int(word), int(cycle)) for word, cycle in zip(found, cycles, strict=True)]

    def fifos(self) -> dict[str, Fifo]:
        """FINN's FIFOs between the nodes, by the stream that goes in, with how full they were since the last reset."""
        named = ((fifo.path.split(".")[-2], fifo) for fifo in self._sim.fifos())
        return {name.removesuffix(FIFO): fifo for name, fifo in named if name.endswith(FIFO)}

    def restrict(self, fifo: Fifo, depth: int) -> None:
        """From the next reset on let a FIFO hold no more than one of `depth` beats."""
        self._sim.restrict(fifo, depth)

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


def _logits(vector: np.ndarray, vocab: int) -> tuple[int, np.ndarray]:
    """Tag and logits of the beats [1 + beats, bytes] that show one vector."""
    tag = int.from_bytes(vector[0, :4].tobytes(), "little")
    width = vocab * 2 // (len(vector) - 1)  # a single lane is padded to a word
    return tag, np.ascontiguousarray(vector[1:, :width]).view(np.int16).reshape(-1)
