"""Two runs beside each other: what became faster or slower by more than the runs themselves vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgellm.bench.plan import Case
from edgellm.bench.results import Result, Row
from edgellm.errors import UsageError

Verdict = Literal["faster", "slower", "same"]
LEAST_CHANGE = 0.02  # below it nobody cares


@dataclass(frozen=True, slots=True)
class Change:
    """One case on one back end in both runs. Ratios are new to old; of latencies, below 1 is better."""

    backend: str
    case: Case
    tokens_per_second: float
    ttft: float
    itl: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both runs measured, and what makes them hard to compare."""

    changes: Sequence[Change]
    notes: Sequence[str]


def compare(old: Result, new: Result) -> Comparison:
    """Rows that both have, in the new one's order. UsageError when there are none."""
    before = {row.key: row for row in old.rows}
    changes = [_change(before[row.key], row) for row in new.rows if row.key in before]
    if not changes:
        raise UsageError(
            "the two runs have no case on the same back end in common: measure both with the same options"
        )
    return Comparison(changes, list(_notes(old, new, len(changes))))


def _change(old: Row, new: Row) -> Change:
    return Change(
        new.backend,
        new.case,
        new.speed / old.speed,
        _ratio(new.ttft.p50, old.ttft.p50),
        _ratio(new.itl.p50, old.itl.p50),
        _verdict(old, new),
    )


def _ratio(new: float, old: float) -> float:
    return new / old if old else 1.0


def _verdict(old: Row, new: Row) -> Verdict:
    """A change counts when no repeat of the one run reaches the median of the other."""
    if abs(new.speed / old.speed - 1) < LEAST_CHANGE:
        return "same"
    if min(new.tokens_per_second) > old.speed and max(old.tokens_per_second) < new.speed:
        return "faster"
    if max(new.tokens_per_second) < old.speed and min(old.tokens_per_second) > new.speed:
        return "slower"
    return "same"


def _notes(old: Result, new: Result, common: int) -> list[str]:
    notes = []
    if old.sha256 != new.sha256:
        notes.append(f"different models: {old.model} {old.sha256[:8]} and {new.model} {new.sha256[:8]}")
    differing = [name for name in old.machine if old.machine[name] != new.machine.get(name)]
    if differing:
        pairs = (f"{name} {old.machine[name]} and {new.machine.get(name)}" for name in differing)
        notes.append(f"different machines: {'; '.join(pairs)}")
    if alone := max(len(old.rows), len(new.rows)) - common:
        notes.append(f"{alone} {'row is' if alone == 1 else 'rows are'} in one of the runs only")
    return notes
