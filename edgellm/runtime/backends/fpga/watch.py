"""Is the accelerator still alive? Asked only when nothing came for long, because registers are slow."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgellm.errors import BackendFailed
from edgellm.registers import Register, Status
from edgellm.runtime.backends.fpga.board import Registers
from edgellm.runtime.backends.fpga.rings import COUNTS, CommandRing, EventRing, LogitsRing
from edgellm.runtime.backends.fpga.waiting import Patience

ERRORS = {
    Status.COMMANDS_ERROR: "reading commands",
    Status.EVENTS_ERROR: "writing events",
    Status.LOGITS_ERROR: "writing logits",
}
WAY_OUT = "open the model again to restart the accelerator; if it happens again, run `edgellm doctor`"


@dataclass(frozen=True, slots=True)
class Rings:
    """All three."""

    commands: CommandRing
    events: EventRing
    logits: LogitsRing


class Watch:
    """Counts time and cycles since something came, and raises BackendFailed when it was too long ago."""

    def __init__(self, registers: Registers, rings: Rings, patience: Patience) -> None:
        self._registers, self._rings, self._patience = registers, rings, patience
        self.progress()

    def progress(self) -> None:
        """Something came, or was asked for."""
        self._since = time.monotonic()
        self._cycles: int | None = None
        self._next = self._patience.seconds

    def check(self) -> None:
        """Look at the registers once in `Patience.seconds`."""
        waited = time.monotonic() - self._since
        if waited < self._next:
            return
        self._next = waited + self._patience.seconds
        status = Status(self._registers.read(Register.STATUS))
        self._check_errors(status)
        if status & Status.IDLE:
            self._check_counts()
        self._check_clock(waited)

    def _check_errors(self, status: Status) -> None:
        failed = [what for bit, what in ERRORS.items() if status & bit]
        if failed:
            raise BackendFailed(
                f"bus error of the accelerator {' and '.join(failed)}: {self._state()}; {WAY_OUT}"
            )

    def _check_counts(self) -> None:
        """What was written and is not under way any more must be in memory."""
        for name, ring in (("events", self._rings.events), ("logits", self._rings.logits)):
            written = ring.written()
            if written != ring.taken % COUNTS and next(ring.words(), None) is None:
                raise BackendFailed(
                    f"{name} got lost: the accelerator has written {written}, number {ring.taken + 1} is not in memory: "
                    f"{self._state()}; {WAY_OUT}"
                )

    def _check_clock(self, waited: float) -> None:
        now = self._registers.cycles()
        if self._cycles is None:
            self._cycles = now
            return
        cycles = now - self._cycles
        if cycles == 0:
            raise BackendFailed(
                f"the accelerator's clock stands still: its counter stays at {now}; {WAY_OUT}"
            )
        if cycles > self._patience.cycles or waited > self._patience.most:
            raise BackendFailed(
                f"the accelerator is stuck: nothing came for {waited:.1f} s and {cycles:,} of its cycles: {self._state()}; "
                f"{WAY_OUT}"
            )

    def _state(self) -> str:
        status, rings = self._registers.read(Register.STATUS), self._rings
        return (
            f"status {status:#04x}, commands {rings.commands.fetched()} of {rings.commands.offered} fetched, "
            f"events {rings.events.taken} of {rings.events.written()} taken, "
            f"logits {rings.logits.taken} of {rings.logits.written()} taken"
        )
