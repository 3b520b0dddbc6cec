"""What the design takes of its board: estimates, and beside them what a synthesis tool counted, where it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgellm.compiler.columns import TITLES
from edgellm.compiler.costs import RESOURCES
from edgellm.report.study import Row, Study

KINDS = {"MVAU": "linear layers", "CausalAttention": "attention", "": "FIFOs and converters"}
OTHER = "other blocks"
ESTIMATE = "estimated"


@dataclass(frozen=True, slots=True)
class Bar:
    """One resource by kind of node, against what the board has."""

    label: str
    parts: dict[str, int]
    available: int

    @property
    def used(self) -> int:
        return sum(self.parts.values())

    @property
    def share(self) -> float:
        return self.used / self.available


def bars(study: Study) -> list[Bar]:
    """A bar a resource that the board has, one more where it was counted."""
    result = []
    for name in RESOURCES:
        if available := study.board[name]:
            for source in (ESTIMATE, study.counted) if study.counted else (ESTIMATE,):
                label = f"{TITLES[name]}, {source}" if study.counted else TITLES[name]
                result.append(Bar(label, _parts(study, name, source != ESTIMATE), available))
    return result


def totals(study: Study, counted: bool) -> dict[str, int]:
    """Sum over the nodes."""
    return {name: sum(_parts(study, name, counted).values()) for name in RESOURCES}


def uncounted(study: Study) -> list[str]:
    """Nodes with an estimate alone."""
    return [row["node"] for row in study.rows if not row.get("counted")]


def _parts(study: Study, resource: str, counted: bool) -> dict[str, int]:
    parts = dict.fromkeys([*KINDS.values(), OTHER], 0)
    for row in study.rows:
        counts: Mapping[str, int] = row.get("counted") or {} if counted else row
        parts[_kind(row)] += counts.get(resource, 0)
    return parts


def _kind(row: Row) -> str:
    return KINDS.get(row["op"], OTHER)
