"""FIFO depths found in simulation: as shallow as they can be without a lost cycle.

How full each FIFO gets under load bounds what it needs: at that depth nothing changes, cycle by cycle. From there each is
made shallower by bisection, those that hold most bits first, as long as every load takes no more cycles than before. The
stand-in of FINN's FIFO can be told to hold less (harness.py), so all of this is one build and many short runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgellm import progress
from edgellm.errors import Deadlock, SimulationError
from edgellm.runtime.words import Event
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.harness import Fifo

SHALLOWEST = 3  # FINN leaves a FIFO of 2 away
SEEDS = 3  # of random stalls
STALLS = (0.3, 0.9)  # chance that the host does not give, and does not take, in a cycle
GENERATED = 12


@dataclass(frozen=True, slots=True)
class Sized:
    """One FIFO before and after; `peak` is how full it got."""

    stream: str
    bits: int
    before: int
    peak: int
    depth: int


@dataclass(frozen=True, slots=True)
class Job:
    """Prompts, a slot each, submitted at once."""

    prompts: tuple[tuple[int, ...], ...]
    tokens: int


Runs = Callable[[Sequence[Job]], "list[int] | None"]


def jobs(device: Accelerator, seed: int = 1) -> list[Job]:
    """The loads: all slots near the beginning and near the end of the context, prompts of many lengths, and one stream."""
    rng, about = np.random.default_rng(seed), device.design
    longest = about.context - GENERATED

    def prompt(length: int) -> tuple[int, ...]:
        return tuple(int(token) for token in rng.integers(0, about.vocab, max(1, length)))

    lengths = [1 + int(n) for n in rng.integers(0, max(1, longest // 4), about.slots)]
    return [
        Job((prompt(min(4, longest)),), GENERATED),
        Job(tuple(prompt(length) for length in lengths), GENERATED),
        Job(tuple(prompt(longest) for _ in range(about.slots)), GENERATED),
    ]


def size(device: Accelerator) -> list[Sized]:
    """The shallowest depths that lose no cycle on `jobs`, and whose tokens survive random stalls of the host.

    Raises: SimulationError when there is no FIFO, Deadlock when the depths as they are deadlock.
    """
    found = device.fifos()
    if not found:
        raise SimulationError(f"{device.design.folder}: the design has no FIFO to size")
    loads = jobs(device)
    goal = [cycles(device, job) for job in loads]
    peaks = _peaks(device, loads, found)
    chosen = {stream: _bounded(fifo.depth, peaks[stream]) for stream, fifo in found.items()}
    _restrict(device, found, chosen)
    with progress.track("Sizing FIFOs", total=len(found)) as bar:
        for stream, fifo in sorted(found.items(), key=lambda item: -item[1].bits * chosen[item[0]]):
            chosen[stream] = _least(device, fifo, chosen[stream], lambda: _no_slower(device, loads, goal))
            device.restrict(fifo, chosen[stream])
            bar.advance()
    _survive(device, loads)
    return [
        Sized(stream, fifo.bits, fifo.depth, peaks[stream], chosen[stream]) for stream, fifo in found.items()
    ]


def _bounded(depth: int, peak: int) -> int:
    """Deep enough for `peak` beats; no deeper than before."""
    return min(depth, max(SHALLOWEST, peak + 1))


def _restrict(device: Accelerator, found: dict[str, Fifo], depths: dict[str, int]) -> None:
    for stream, fifo in found.items():
        device.restrict(fifo, depths[stream])


def _peaks(device: Accelerator, loads: Sequence[Job], found: dict[str, Fifo]) -> dict[str, int]:
    """Most beats in each FIFO over the loads."""
    peaks = dict.fromkeys(found, 0)
    for job in loads:
        cycles(device, job)
        peaks = {stream: max(peaks[stream], fifo.peak) for stream, fifo in device.fifos().items()}
    return peaks


def _least(device: Accelerator, fifo: Fifo, high: int, good: Callable[[], bool]) -> int:
    """Bisection for the least depth up to `high`, which is good."""
    low = SHALLOWEST
    while low < high:
        middle = (low + high) // 2
        device.restrict(fifo, middle)
        if good():
            high = middle
        else:
            low = middle + 1
    return high


def _no_slower(device: Accelerator, loads: Sequence[Job], goal: Sequence[int]) -> bool:
    try:
        return all(cycles(device, job) <= limit for job, limit in zip(loads, goal, strict=True))
    except Deadlock:
        return False


def cycles(device: Accelerator, job: Job) -> int:
    """From reset to the last event of the job."""
    device.reset()
    start = device.cycle
    return run(device, job)[-1].cycle - start


def run(device: Accelerator, job: Job, stall: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> list[Event]:
    """Events of a job on an idle device; `stall`: chances that a command word, and an event, waits in a cycle."""
    for slot, prompt in enumerate(job.prompts):
        device.submit(slot, prompt, job.tokens)
    events: list[Event] = []
    while sum(event.reason is not None for event in events) < len(job.prompts):
        events += device.wait(*stall, seed=seed + len(events))
    return events


def _survive(device: Accelerator, loads: Sequence[Job]) -> None:
    """Every load under random stalls of the host. Raises: Deadlock, SimulationError when a token differs."""
    for job in loads:
        device.reset()
        expected = _by_slot(run(device, job))
        for seed in range(SEEDS):
            device.reset()
            if _by_slot(run(device, job, STALLS, seed)) != expected:
                raise SimulationError(
                    f"tokens changed when the host stalled (seed {seed}): please report this design"
                )


def _by_slot(events: Sequence[Event]) -> list[Event]:
    return sorted((replace(event, cycle=0) for event in events), key=lambda event: event.slot)
