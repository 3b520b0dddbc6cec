"""A device made of the accelerator's streams: which words a job takes, what its events mean, who waits for the host.

Where the host chooses, the accelerator makes one token at a time and shows its logits; the host's token follows as a prompt.
The simulator of the streams and the driver of a board are two `Link`s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed
from edgellm.numerics.generation import FinishReason
from edgellm.numerics.model import Architecture
from edgellm.runtime import words
from edgellm.runtime.device import LOGITS, Event, Job, Traits
from edgellm.runtime.words import STOP_IDS

ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "context": "context"}
PATIENCE = 0.05  # seconds of one look for the end of a cancelled job


class Link(Protocol):
    """The accelerator's streams, however far away. Raises BackendFailed from any call when it has broken down."""

    def send(self, command: Sequence[int]) -> None:
        """Put command words in; they are on their way when the next `receive` begins at the latest."""
        ...

    def receive(self, timeout: float) -> Sequence[words.Event]:
        """Events since the last call, in order; waits `timeout` seconds at most for the first."""
        ...

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab] behind the last event of a slot that was asked for them."""
        ...

    def cycle(self) -> int:
        """Clock cycles so far; always 0 where nobody counts them for free."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


@dataclass(slots=True)
class _Slot:
    """A job in progress."""

    job: Job
    begin: int  # cycle of its submission
    position: int  # behind everything fed
    cycles: list[int] = field(default_factory=list)  # of its events
    produced: int = 0
    waiting: bool = False  # for the host's choice


class StreamedDevice:
    """A `Link` behind the protocol; see `device.Device`.

    Its counters, where the link counts cycles: cycles (submission to last token), cycles_first_token, cycles_per_token (between
    tokens; all cycles of a single one).
    """

    def __init__(
        self, name: str, link: Link, arch: Architecture, logit_step: float | None, slots: int
    ) -> None:
        self.name, self.arch, self.logit_step = name, arch, logit_step
        self.traits = Traits(slots, stop_ids=STOP_IDS)
        self._link = link
        self._slots: dict[int, _Slot] = {}
        self._events: deque[words.Event] = deque()
        self._logits: dict[int, NDArray[np.int16]] = {}
        self._counters: dict[int, Mapping[str, float]] = {}

    def submit(self, slot: int, job: Job) -> None:
        """Begin in a free slot."""
        self._send(slot, job)
        self._slots[slot] = _Slot(job, self._link.cycle(), job.start + len(job.prompt))

    def _send(self, slot: int, job: Job) -> None:
        if job.by_host:
            self._link.send(words.submit(slot, job.prompt, 1, (), job.start, logits="chosen"))
        else:
            limit = min(job.max_tokens, self.arch.context + 1)
            self._link.send(
                words.submit(slot, job.prompt, limit, sorted(job.stop_ids), job.start, job.sampling)
            )

    def poll(self, timeout: float) -> Sequence[Event]:
        """What the accelerator has generated."""
        if not self._events:
            if all(slot.waiting for slot in self._slots.values()):
                return ()
            self._events.extend(self._link.receive(timeout))
        events = [self._event(event) for event in self._events]
        self._events.clear()
        return events

    def _event(self, event: words.Event) -> Event:
        slot = self._slots.get(event.slot)
        if slot is None or slot.waiting:
            raise BackendFailed(f"the accelerator gave a token of slot {event.slot}, which has no job")
        if event.reason == words.REJECTED:
            raise BackendFailed(f"the accelerator rejected a prompt for slot {event.slot}")
        slot.cycles.append(event.cycle)
        if slot.job.by_host:
            self._logits[event.slot] = self._link.logits(event.slot)
            slot.waiting = True
            return Event(event.slot, LOGITS)
        reason = ENDS[event.reason] if event.reason else None
        if reason:
            self._end(event.slot)
        return Event(event.slot, event.token, reason)

    def _end(self, index: int) -> None:
        slot = self._slots.pop(index)
        self._counters[index] = counters(slot.begin, slot.cycles) if any(slot.cycles) else {}

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        return self._logits[slot]

    def choose(self, slot: int, token: int) -> FinishReason | None:
        """Go on with this token."""
        state = self._slots[slot]
        state.produced += 1
        reason = self._reason(state, token)
        if reason:
            self._end(slot)
        else:
            self._send(slot, replace(state.job, prompt=[token], start=state.position))
            state.position += 1
            state.waiting = False
        return reason

    def _reason(self, state: _Slot, token: int) -> FinishReason | None:
        if token in state.job.stop_ids:
            return "stop"
        if state.produced == state.job.max_tokens:
            return "length"
        return "context" if state.position == self.arch.context else None

    def cancel(self, slot: int) -> None:
        """Free a slot: its job is told to end, and waited for."""
        state = self._slots.pop(slot, None)
        if state is None or state.waiting:
            return
        self._link.send(words.cancel(slot))
        self._await(lambda event: event.slot == slot and event.reason is not None)
        if state.job.by_host:
            self._link.logits(slot)  # nobody wants them, but they come
        self._events = deque(event for event in self._events if event.slot != slot)

    def _await(self, wanted: Callable[[words.Event], bool]) -> None:
        """Take events in until one is what is wanted."""
        found = any(wanted(event) for event in self._events)
        while not found:
            new = self._link.receive(PATIENCE)
            self._events.extend(new)
            found = any(wanted(event) for event in new)

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a prefix."""
        self._link.send(words.copy(source, target, positions))

    def counters(self, slot: int) -> Mapping[str, float]:
        """Cycles of the slot's last job."""
        return self._counters.get(slot, {})

    def close(self) -> None:
        """Free the link."""
        self._slots.clear()
        self._events.clear()
        self._link.close()


def counters(begin: int, cycles: Sequence[int]) -> dict[str, float]:
    """Cycle counts of one answer from the cycles of its events."""
    first, last = cycles[0], cycles[-1]
    between = (last - first) / (len(cycles) - 1) if len(cycles) > 1 else float(last - begin)
    return {
        "cycles": float(last - begin),
        "cycles_first_token": float(first - begin),
        "cycles_per_token": between,
    }
