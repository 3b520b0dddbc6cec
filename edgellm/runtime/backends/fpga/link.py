"""The accelerator on a board as a link: commands into its ring, events out of theirs, and what to do when none comes.

Registers are slow and memory is not, so the host looks for events in memory, and touches a register only to say that there are
commands, to say (once in half a ring) what it has taken, before it waits for an interrupt, and when it gets impatient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed
from edgellm.registers import Control, Register, Status
from edgellm.runtime import words
from edgellm.runtime.backends.fpga.board import Accelerator, Registers
from edgellm.runtime.backends.fpga.rings import CommandRing, EventRing, LogitsRing
from edgellm.runtime.backends.fpga.waiting import SPINS, InterruptWaiter, Nap, Patience, Waiter
from edgellm.runtime.backends.fpga.watch import Rings, Watch

EVENTS = 512  # entries: a page
COMMANDS = 1024  # entries at least
HEADER_WORDS = 8  # of a command, at most, beside its prompt
STOP_READS = 1000  # of the status, until a reset must have been obeyed
T = TypeVar("T")
_kept: list[Rings] = []  # memory that an accelerator which does not stop may still write to


def connect(accelerator: Accelerator, patience: Patience) -> BoardLink:
    """Set up the rings and let the accelerator run. Raises: BackendFailed."""
    design, told, allocate = accelerator.design, accelerator.registers, accelerator.allocate
    commands = CommandRing(told, allocate, _power(max(COMMANDS, design.context + HEADER_WORDS)))
    events = EventRing(told, allocate, EVENTS)
    logits = LogitsRing(told, allocate, _power(2 * design.slots), design.vocab)
    link = BoardLink(accelerator, Rings(commands, events, logits), patience)
    told.write(Register.CONTROL, Control.RUN | (Control.INTERRUPT if accelerator.interrupt else 0))
    return link


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()


class BoardLink:
    """See `streamed.Link`."""

    def __init__(self, accelerator: Accelerator, rings: Rings, patience: Patience) -> None:
        self.design, self._registers = accelerator.design, accelerator.registers
        self._rings: Rings | None = rings
        self._watch = Watch(self._registers, rings, patience)
        self._waiter = self._choose_waiter(accelerator.interrupt)
        self._vectors: dict[int, NDArray[np.int16]] = {}

    def _choose_waiter(self, interrupt: Any) -> Waiter:
        return Nap() if interrupt is None else InterruptWaiter(interrupt, self._arm)

    def _arm(self) -> None:
        """The interrupt comes with the next event that the host has not taken."""
        self._registers.write(Register.SEEN, self.rings.events.taken)

    @property
    def rings(self) -> Rings:
        """The rings; BackendFailed after `close`."""
        if self._rings is None:
            raise BackendFailed("the accelerator is closed: open the model again")
        return self._rings

    def send(self, command: Sequence[int]) -> None:
        """Put words into the ring; the accelerator is told of all of them at once, in `receive`."""
        ring = self.rings.commands
        if len(command) > ring.room():
            self._publish()
            self._until(lambda: self._has_room(len(command)))
        ring.put(command)

    def _has_room(self, count: int) -> bool | None:
        self.rings.commands.fetched()
        return self.rings.commands.room() >= count or None

    def _publish(self) -> None:
        if self.rings.commands.pending:
            self.rings.commands.publish()
            self._watch.progress()

    def receive(self, timeout: float) -> Sequence[words.Event]:
        """Events, as soon as there are some."""
        self._publish()
        return self._look(self._take_events, time.monotonic() + timeout) or ()

    def _take_events(self) -> list[words.Event] | None:
        return [self._checked(word) for word in self.rings.events.take()] or None

    def _checked(self, word: int) -> words.Event:
        event = words.event(word)
        if event.slot >= self.design.slots or event.token >= self.design.vocab or word >> 28:
            raise BackendFailed(
                f"the ring of events is corrupted: word {word:#010x} is of slot {event.slot} and token {event.token}, the "
                f"design has {self.design.slots} slots and {self.design.vocab} tokens"
            )
        return event

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]; they may come a little after their event."""
        return self._until(lambda: self._take_logits(slot))

    def _take_logits(self, slot: int) -> NDArray[np.int16] | None:
        if slot not in self._vectors:
            self._vectors |= {words.tag_slot(tag): row for tag, row in self.rings.logits.take()}
        return self._vectors.pop(slot, None)

    def _until(self, look: Callable[[], T | None]) -> T:
        """What must come: waits as long as patience lasts."""
        while True:
            if (found := self._look(look, time.monotonic() + 1.0)) is not None:
                return found

    def _look(self, look: Callable[[], T | None], end: float) -> T | None:
        """Look often, then between naps, until there is something or time is over."""
        spins = 0
        while (found := look()) is None:
            spins += 1
            if spins >= SPINS:
                left = end - time.monotonic()
                self._watch.check()
                if left <= 0:
                    return None
                self._waiter.wait(left)
        self._watch.progress()
        self._waiter.reset()
        return found

    def cycle(self) -> int:
        """Nobody counts: a register would have to be read."""
        return 0

    def close(self) -> None:
        """Stop the accelerator, then let its memory go; a second call does nothing."""
        if self._rings is not None:
            if not stop(self._registers):
                _kept.append(self._rings)
            self._rings = None


def stop(registers: Registers) -> bool:
    """Reset the core, which ends what is under way on the bus; False when it does not come to an end."""
    registers.write(Register.CONTROL, Control.RESET)
    for _ in range(STOP_READS):
        if Status(registers.read(Register.STATUS)) & (Status.IDLE | Status.OUT_OF_RESET) == Status.IDLE:
            return True
    return False
