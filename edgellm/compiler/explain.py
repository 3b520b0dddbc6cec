"""Why a folding is as fast as it is: what bounds it, where a token's cycles go, what is short and what more would buy.

All of it follows from the formulas of `estimate`: derived, not simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgellm.compiler import budget, estimate, latency
from edgellm.compiler.budget import Limits, Objective
from edgellm.compiler.costs import RESOURCES
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding

WAITS = {
    "slots": "the slots, each waiting for its own last token",
    "tokens in flight": f"the {budget.TOKENS} tokens in flight",
}
LARGEST = 5  # parts of the latency that are named


@dataclass(frozen=True, slots=True)
class Step:
    """With so much more of some resources, so many cycles by the objective."""

    more: Limits
    cycles: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Cycles and resources of a folding. Cycles are a token's, with `position` tokens before it."""

    objective: Objective
    position: int
    slots: int
    single: int  # of a single stream
    saturated: int  # with all slots busy
    bounds: dict[
        str, int
    ]  # cycles with all slots busy that a node, the slots or the tokens in flight allow, largest first
    parts: dict[str, int]  # of a single stream's cycles, by node, largest first
    used: Limits
    limits: Limits
    proved: bool | None  # that no folding within the limits is faster; None when the folding was given
    steps: tuple[Step, ...] = ()  # one for every resource that alone holds it back

    def cycles(self, objective: Objective) -> int:
        """What an objective counts."""
        return self.single if objective is Objective.LATENCY else self.saturated

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "objective": self.objective.value, "steps": [asdict(s) for s in self.steps]}


def explain(
    design: Design, folding: Folding, limits: Limits, objective: Objective, proved: bool | None = None
) -> Explanation:
    """Explain a folding at the reference position of its design."""
    position = budget.reference(design.arch)
    cost = estimate.total(estimate.node_costs(design, folding))
    bounds = estimate.saturated_bounds(design, folding, position)
    return Explanation(
        objective=objective,
        position=position,
        slots=design.slots,
        single=estimate.single_stream_cycles(design.arch, folding, position, design.ternary),
        saturated=max(bounds.values()),
        bounds=_descending(bounds),
        parts=_descending(latency.token_parts(design.arch, folding, position, design.ternary)),
        used={name: int(getattr(cost, name)) for name in RESOURCES},
        limits=limits,
        proved=proved,
    )


def _descending(values: dict[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))


def lines(told: Mapping[str, Any], clock_mhz: int) -> list[str]:
    """`Explanation.to_dict` in a few lines for people."""
    single, saturated = told["single"], told["saturated"]
    parts = [f"{node} {cycles:,}" for node, cycles in list(told["parts"].items())[:LARGEST]]
    used = [
        f"{told['used'][name]:,} of {limit:,} {budget.NAMES[name]}"
        for name, limit in told["limits"].items()
        if limit
    ]
    return [
        f"{_how(told)}, at position {told['position']} (derived): {single:,} cycles a token of one stream, "
        f"one token of {told['slots']} busy slots every {saturated:,}",
        f"{clock_mhz / single * 1e6:,.0f} and {clock_mhz / saturated * 1e6:,.0f} tokens/s (projected, {clock_mhz} MHz assumed)",
        f"one stream: {', '.join(parts)}; busy slots: bound by {_bound(told['bounds'])}",
        f"limits: {', '.join(used)}{_next(told['steps'])}",
    ]


def _how(told: Mapping[str, Any]) -> str:
    if told["proved"] is None:
        return "folding as given"
    best = "the best folding" if told["proved"] else "the best folding found"
    return f"{best} for {told['objective']}"


def _bound(bounds: Mapping[str, int]) -> str:
    most = max(bounds.values())
    return " and ".join(WAITS.get(name, name) for name, cycles in bounds.items() if cycles == most)


def _next(steps: list[Mapping[str, Any]]) -> str:
    if not steps:
        return ""
    told = [f"{_amounts(step['more'])}: {step['cycles']:,} cycles" for step in steps]
    return f"; with {', with '.join(told)}"


def _amounts(more: Limits) -> str:
    return " and ".join(f"{count:,} more {budget.NAMES[name]}" for name, count in more.items())
