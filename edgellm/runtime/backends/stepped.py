"""A device made of a decoder that takes a token at a time: who is fed what, what is chosen, and when it ends.

Source: docs/numerics.md, "Generation". The C library has the same loop inside (native/src/session.c), the accelerator in
hardware.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.generation import FinishReason
from edgellm.numerics.model import Architecture, Int
from edgellm.numerics.sampling import chooser
from edgellm.runtime.device import LOGITS, Event, Job, Traits
from edgellm.runtime.drafting import Guesser

# (slot, tokens, position of the first) -> logits int16 [tokens, vocab] behind each; None while it is not worth preparing for
Verify = Callable[[int, Sequence[int], int], "NDArray[np.int16] | None"]


class Feed(NamedTuple):
    """Consecutive tokens of a slot, the first at its position; those before it have been fed."""

    slot: int
    tokens: Sequence[int]
    position: int


class Stepper(Protocol):
    """A decoder with `slots` caches."""

    name: str
    arch: Architecture
    logit_step: float | None
    slots: int
    rows: int  # tokens of a slot that a step takes at most
    copies: bool  # `copy` works

    def step(self, feeds: Sequence[Feed]) -> None:
        """Feed each of some slots, side by side where that is faster. Raises: BackendFailed."""
        ...

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab] behind the last token of the slot's last step, until its next."""
        ...

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a cache."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


@dataclass(slots=True)
class _Slot:
    """A job in progress."""

    job: Job
    choose: Callable[[Int, int], int]
    pending: list[int]  # to be fed next, the first one first
    position: int  # of the first of them
    produced: int = 0
    waiting: bool = False  # for the host's choice
    guesser: Guesser | None = None  # where tokens are guessed


class SteppedDevice:
    """A `Stepper` behind the protocol; see `device.Device`.

    With `verify`, which feeds several tokens in little more time than one, a slot that is alone gets tokens guessed.
    """

    def __init__(self, stepper: Stepper, verify: Verify | None = None) -> None:
        self._stepper, self._verify = stepper, verify
        self.name, self.arch, self.logit_step = stepper.name, stepper.arch, stepper.logit_step
        self.traits = Traits(stepper.slots, copies=stepper.copies)
        self._slots: dict[int, _Slot] = {}

    def submit(self, slot: int, job: Job) -> None:
        """Begin in a free slot."""
        choose = chooser(job.sampling, self._stepper.logit_step)
        guess = self._verify is not None and job.speculate and not job.by_host
        guesser = Guesser([*job.before, *job.prompt]) if guess else None
        self._slots[slot] = _Slot(job, choose, list(job.prompt), job.start, guesser=guesser)

    def poll(self, timeout: float) -> Sequence[Event]:
        """Steps of all busy slots until one has an event."""
        end = time.monotonic() + timeout
        while True:
            rows = self._stepper.rows
            feeds = [_next(index, slot, rows) for index, slot in self._slots.items() if not slot.waiting]
            if not feeds:
                return ()
            if len(feeds) == 1 and (drafted := self._drafted(feeds[0])):
                return [drafted]
            self._stepper.step(feeds)
            events = [event for feed in feeds if (event := self._after(feed))]
            if events or time.monotonic() >= end:
                return events

    def _drafted(self, feed: Feed) -> Event | None:
        """The slot's next tokens, some of them guessed; None where nothing can be."""
        index, tokens, position = feed
        slot = self._slots[index]
        if slot.guesser is None or self._verify is None or slot.pending or len(tokens) > 1:
            return None
        room = min(self.arch.context - 1 - position, slot.job.max_tokens - slot.produced - 1)
        guesses = slot.guesser.guess(room)
        if not guesses:
            return None
        rows = self._verify(index, [*tokens, *guesses], position)
        if rows is None:
            return None
        chosen: list[int] = []
        for row, guess in zip(rows, [*guesses, LOGITS], strict=True):
            slot.pending.clear()  # what was guessed has been fed
            chosen.append(slot.choose(row, slot.position))
            slot.position += 1
            reason = self._accept(index, slot, chosen[-1])
            if reason or chosen[-1] != guess:
                break
        slot.guesser.came(chosen, len(guesses))
        return Event(index, chosen[-1], reason, tuple(chosen[:-1]))

    def _after(self, feed: Feed) -> Event | None:
        slot = self._slots[feed.slot]
        slot.position += len(feed.tokens)
        if slot.pending:
            return None
        if slot.job.by_host:
            slot.waiting = True
            return Event(feed.slot, LOGITS)
        token = slot.choose(self._stepper.logits(feed.slot), slot.position - 1)
        if slot.guesser is not None:
            slot.guesser.came([token])
        return Event(feed.slot, token, self._accept(feed.slot, slot, token))

    def _accept(self, index: int, slot: _Slot, token: int) -> FinishReason | None:
        """A token was chosen: it is fed next, or was the slot's last."""
        slot.produced += 1
        reason = self._reason(slot, token)
        if reason is None:
            slot.pending.append(token)
        else:
            del self._slots[index]
        return reason

    def _reason(self, slot: _Slot, token: int) -> FinishReason | None:
        if token in slot.job.stop_ids:
            return "stop"
        if slot.produced == slot.job.max_tokens:
            return "length"
        return "context" if slot.position == self.arch.context else None

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        return self._stepper.logits(slot)

    def choose(self, slot: int, token: int) -> FinishReason | None:
        """Go on with this token."""
        self._slots[slot].waiting = False
        return self._accept(slot, self._slots[slot], token)

    def cancel(self, slot: int) -> None:
        """Free a slot."""
        self._slots.pop(slot, None)

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a prefix."""
        self._stepper.copy(source, target, positions)

    def counters(self, slot: int) -> Mapping[str, float]:
        """None."""
        return {}

    def close(self) -> None:
        """Free everything."""
        self._slots.clear()
        self._stepper.close()


def _next(index: int, slot: _Slot, rows: int) -> Feed:
    tokens, slot.pending = slot.pending[:rows], slot.pending[rows:]
    return Feed(index, tokens, slot.position)
