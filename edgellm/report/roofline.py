"""Work a token against the multipliers and the memories on chip.

A roofline (S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009) with cycles for seconds and
multiply-accumulates (MACs) for operations: at most min(peak, intensity x bandwidth) MACs a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgellm.compiler import costs
from edgellm.compiler.work import Work
from edgellm.report.study import Study
from edgellm.sim.full_pipeline import Load

BRAM18_BITS, URAM_BITS = 36, 72  # widest read port of a simple dual-port memory (UG573)
Macs = Callable[[str, Work], float]


@dataclass(frozen=True, slots=True)
class Roof:
    """Most MACs and bytes a cycle."""

    label: str
    peak: float
    bandwidth: float

    def at(self, intensity: float) -> float:
        """MACs a cycle that work of `intensity` MACs a byte can reach."""
        return min(self.peak, intensity * self.bandwidth)


@dataclass(frozen=True, slots=True)
class Point:
    """MACs a byte and MACs a cycle of a whole run; `tag` says where the cycles come from."""

    label: str
    intensity: float
    rate: float
    tag: str


@dataclass(frozen=True, slots=True)
class NodeWork:
    """One node that multiplies, at `Roofline.keys` keys: MACs a token, and the cycles that its multipliers need for them."""

    node: str
    peak: int
    bandwidth: float  # bytes a cycle
    macs: float
    cycles: float
    used: float | None  # share of the peak with all slots busy


@dataclass(frozen=True, slots=True)
class Bound:
    """No run of the slots can take fewer cycles a token, and why."""

    cycles: float
    why: str


@dataclass(frozen=True, slots=True)
class Roofline:
    """Roofs of the design and of its board, what runs reached, the work of the nodes, and the highest lower bound."""

    design: Roof
    board: Roof
    points: list[Point]
    nodes: list[NodeWork]
    keys: float
    bound: Bound

    @property
    def used(self) -> float | None:
        """Share of the design's peak with all slots busy: the multipliers' utilisation."""
        if any(node.used is None for node in self.nodes):
            return None
        return sum(node.peak * (node.used or 0) for node in self.nodes) / self.design.peak

    @property
    def macs(self) -> float:
        """Of a token."""
        return sum(node.macs for node in self.nodes)


def of(study: Study) -> Roofline | None:
    """The roofline of a design; None for a report that was made before work was counted."""
    works = {row["node"]: Work(**row["work"]) for row in study.rows if row.get("work")}
    if not works:
        return None
    keys = _keys(study, works)
    loads = study.recording.full_pipeline.nodes if study.recording.full_pipeline else {}
    peak = sum(work.macs_per_cycle for work in works.values())
    design = Roof("the design: its multipliers and memories", peak, _bandwidth(works))
    nodes = [_node_work(study, node, work, loads.get(node), keys) for node, work in works.items()]
    return Roofline(design, _board(study, works), _points(study, works), nodes, keys, _bound(study, nodes))


def _keys(study: Study, works: Mapping[str, Work]) -> float:
    """Keys that a token of the simulation saw on average; one where nothing was simulated."""
    full, one = study.recording.full_pipeline, study.recording.one_prompt
    if full is not None:
        seen = [full.nodes[node] for node, work in works.items() if work.macs_per_key and node in full.nodes]
        return sum(load.keys for load in seen) / max(1, sum(load.vectors for load in seen))
    return _keys_of_one(one.prompt_tokens, one.generated) if one else 1.0


def _keys_of_one(prompt_tokens: int, generated: int) -> float:
    """Mean over the tokens that were generated and fed back."""
    return prompt_tokens + max(1, generated) / 2


def _bandwidth(works: Mapping[str, Work]) -> float:
    return sum(work.bits_per_cycle for work in works.values()) / 8


def _node_work(study: Study, node: str, work: Work, load: Load | None, keys: float) -> NodeWork:
    macs = work.vectors * (work.macs + work.macs_per_key * keys)
    full, used = study.recording.full_pipeline, None
    if full is not None and load is not None:
        used = _done(work, load) / (work.macs_per_cycle * (full.last - full.first))
    return NodeWork(
        node, work.macs_per_cycle, work.bits_per_cycle / 8, macs, macs / work.macs_per_cycle, used
    )


def _bound(study: Study, nodes: list[NodeWork]) -> Bound:
    """The slowest multipliers, or slots that are too few to hide how long a stream waits for its own token."""
    slowest = max(nodes, key=lambda node: node.cycles)
    bounds = [Bound(slowest.cycles, f"the multipliers of {slowest.node} need as many for a token")]
    one, full = study.recording.one_prompt, study.recording.full_pipeline
    if one is not None:
        slots, alone = full.slots if full else study.report["slots"], one.cycles_per_token
        why = f"each of {slots} streams waits {alone:,.0f} cycles for its own token before it goes on"
        bounds.append(Bound(alone / slots, why))
    return max(bounds, key=lambda bound: bound.cycles)


def _done(work: Work, load: Load) -> int:
    return work.macs * load.vectors + work.macs_per_key * load.keys


def _board(study: Study, works: Mapping[str, Work]) -> Roof:
    """All multiplier blocks with the products that the design's widest linear layer packs into one, all block memories; with
    ternary weights, the products that all LUTs could hold.
    """
    board = study.board
    linear = sorted(
        (work.macs_per_cycle, work.bits_per_cycle // work.macs_per_cycle)
        for work in works.values()
        if not work.macs_per_key
    )
    packed = [bits for _, bits in linear if bits != costs.TERNARY] or [costs.TERNARY]
    products = costs.products_per_dsp(str(board.get("dsp_kind", "")), packed[-1])
    in_luts = (
        int(board["lut"] / costs.TERNARY_LUTS) if any(bits == costs.TERNARY for _, bits in linear) else 0
    )
    memory = (board["bram18"] * BRAM18_BITS + board["uram"] * URAM_BITS) / 8
    label = f"{board['title']}: {board['dsp']:,} multiplier blocks of {products} products, block memories"
    if in_luts:
        label += f", LUTs for {in_luts:,} ternary products"
    return Roof(label, board["dsp"] * products + in_luts, memory)


def _points(study: Study, works: Mapping[str, Work]) -> list[Point]:
    points = [_expected(study, works)]
    one, full = study.recording.one_prompt, study.recording.full_pipeline
    if one is not None:
        keys = _keys_of_one(one.prompt_tokens, one.generated)
        points.append(_point("one stream", works, _a_token(keys), one.cycles_per_token, "simulated"))
    if full is not None:
        loads, cycles = full.nodes, full.last - full.first

        def macs(node: str, work: Work) -> float:
            return _done(work, loads[node]) if node in loads else 0

        if any(macs(node, work) for node, work in works.items()):
            points.append(_point(f"{full.slots} slots busy", works, macs, cycles, "simulated"))
    return points


def _expected(study: Study, works: Mapping[str, Work]) -> Point:
    saturated = study.report["cycles"]["saturated"]
    return _point("saturated, position 0", works, _a_token(1), saturated, "expected")


def _a_token(keys: float) -> Macs:
    return lambda _, work: work.vectors * (work.macs + work.macs_per_key * keys)


def _point(label: str, works: Mapping[str, Work], macs: Macs, cycles: float, tag: str) -> Point:
    done = {node: macs(node, work) for node, work in works.items()}
    bits = sum(done[node] * work.bits_per_cycle / work.macs_per_cycle for node, work in works.items())
    return Point(label, sum(done.values()) * 8 / bits, sum(done.values()) / cycles, tag)
