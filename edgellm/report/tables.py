"""The page's tables: cycles and rates, nodes, what was verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgellm.report.roofline import Roofline
from edgellm.report.study import Row, Study
from edgellm.sim import timeline


@dataclass(frozen=True, slots=True)
class Pace:
    """Cycles of one token in one situation, by formula and from simulation; the rate follows from the clock."""

    situation: str
    expected: float | None
    simulated: float | None
    rate: float | None = None  # tokens a second, projected: nobody has met the clock

    @property
    def cycles(self) -> float | None:
        return self.expected if self.simulated is None else self.simulated


@dataclass(frozen=True, slots=True)
class Node:
    """A row of report.json and what simulation and the roofline add to it."""

    row: Row
    folding: str
    on_the_way: int | None  # cycles of one token
    sending: float | None  # share of the cycles with all slots busy
    peak: int | None  # MACs a cycle
    used: float | None  # share of that peak with all slots busy

    @property
    def counted(self) -> Mapping[str, Any]:
        return self.row.get("counted") or {}


def paces(study: Study) -> list[Pace]:
    """One stream at both ends of the context and in the simulation, several streams, and the first token."""
    cycles, one, full = study.report["cycles"], study.recording.one_prompt, study.recording.full_pipeline
    found = [
        Pace("one stream, position 0", cycles["first_position"], None),
        Pace("one stream, last position of the context", cycles["last_position"], None),
        Pace("pipeline saturated, position 0", cycles["saturated"], None),
    ]
    if one is not None:
        what = f"one stream, {one.generated} tokens behind a prompt of {one.prompt_tokens}"
        found.append(Pace(what, None, one.cycles_per_token))
    if full is not None:
        what = f"{full.slots} of {study.report['slots']} slots busy, {full.tokens} tokens of all of them"
        found.append(Pace(what, None, full.cycles_per_token))
    return [
        Pace(p.situation, p.expected, p.simulated, study.clock_hz / p.cycles if p.cycles else None)
        for p in found
    ]


def nodes(study: Study, roofline: Roofline | None) -> list[Node]:
    """One row a node, in the order of report.json."""
    one, full = study.recording.one_prompt, study.recording.full_pipeline
    way = timeline.shares(one.spans) if one else {}
    loads = full.nodes if full else {}
    work = {node.node: node for node in roofline.nodes} if roofline else {}
    result = []
    for row in study.rows:
        name = row["node"]
        load, own = loads.get(name), work.get(name)
        folding = " ".join(f"{factor} {value}" for factor, value in row["folding"].items())
        result.append(
            Node(
                row,
                folding,
                way.get(name),
                load.busy if load else None,
                own.peak if own else None,
                own.used if own else None,
            )
        )
    return result


def verdict(study: Study) -> str:
    """One sentence on the last verification."""
    judged = study.recording.judgement
    if judged is None:
        return "was not compared with the golden model yet"
    if judged.message is not None:
        return f"differs from the golden model: {judged.message}"
    return f"equals the golden model in all of the {judged.values:,} values compared"
