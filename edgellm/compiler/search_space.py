"""What the search may choose: the options of every node, and what each pair of neighbours allows and costs in cycles.

Links keep to foldings whose streams run at full rate, because only there the formulas of the cycles hold: lanes that
meet at a width converter divide into each other, and what follows a node passes on its bursts as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from edgellm.compiler import estimate, latency, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding, legal, matmul_shapes
from edgellm.numerics.model import Architecture

MAX_SIMD = 32  # adder trees beyond this, and fan-out beyond MAX_PE, hurt the clock
MAX_PE = 64
MAX_LANES = 16
# Lanes of the residual stream, the norms and attention; those behind a linear layer may be as many as its neurons.
NARROW = (*("embed", "attn_norm", "attn_residual", "ffn_norm", "ffn_residual", "final_norm", "attention"),)
LANES, INPUTS, BOTH = ("PE",), ("SIMD",), ("PE", "SIMD")
OUTSIDE = ("head_acc", "final_norm", "embed", "argmax")  # nodes that a token passes once, not once a layer

End = tuple[str, tuple[str, ...]]  # a node and the factors that matter


@dataclass(frozen=True, slots=True)
class Option:
    """One way to fold a node, with everything that comes with the node."""

    factors: dict[str, int]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Link:
    """Two neighbours. `cycles` of their factors: what they add to a token's way, None where they do not go together."""

    first: End
    second: End
    cycles: Callable[..., int | None]
    repeated: bool = True  # once a layer


@dataclass(frozen=True, slots=True)
class Bound:
    """Cycles from one vector to the next that a node's factors allow."""

    node: str
    interval: Callable[..., int]
    repeated: bool = True  # once a layer


def options(design: Design) -> dict[str, list[Option]]:
    """Every legal way to fold each node that keeps to the fan-out limits."""
    found = {}
    for node, factors in legal(design.arch).items():
        lists = [[v for v in values if v <= _most(node, name)] for name, values in factors.items()]
        ways = [dict(zip(factors, values, strict=True)) for values in product(*lists)]
        found[node] = [Option(way, _cost(design, node, way)) for way in ways]
    return found


def _most(node: str, factor: str) -> int:
    if node in NARROW:
        return MAX_LANES
    return MAX_SIMD if factor == "SIMD" else MAX_PE


def _cost(design: Design, node: str, factors: dict[str, int]) -> Cost:
    return estimate.total(estimate.node_costs(design, Folding({node: factors})))


def links(arch: Architecture, position: int, ternary: latency.Nodes = latency.NONE) -> list[Link]:
    """All pairs of neighbours. Their cycles, `constant` and `gate_late` are what a token takes at `position`."""
    norms = {"attn_norm": "qkv_acc", "ffn_norm": "gate_up_acc", "final_norm": "head_acc"}
    return [
        *(_requantised(arch, node, node in ternary) for node in latency.REQUANTISE),
        *(_normed(arch, norm, node) for norm, node in norms.items()),
        *_around_attention(arch, position),
        *_lanes(arch),
    ]


def gate_link() -> Link:
    """The gate and down_acc: how late a whole beat comes to a unit with fewer inputs (`latency.late` without its last term)."""
    beats = lambda lanes, simd: -(-lanes // simd) - 1 if divide(lanes, simd) else None  # noqa: E731
    return Link(("glu", LANES), ("down_acc", INPUTS), beats)


def constant() -> int:
    """Cycles of a trip through the block that no choice changes: loop, RoPE, gate."""
    return latency.LOOP + timing.PIPELINE + 1 + timing.PIPELINE


def bounds(arch: Architecture, position: int) -> list[Bound]:
    """How often each node can take a vector: `estimate.block_intervals` and `end_intervals`."""
    matmuls = [_matmul_bound(arch, node) for node in matmul_shapes(arch)]
    norms = [
        Bound(node, lambda pe: timing.norm_interval(arch.width, pe), node not in OUTSIDE)
        for node in ("attn_norm", "ffn_norm", "final_norm")
    ]
    shape = (arch.heads, arch.kv_heads, arch.head_dim)
    return [
        *matmuls,
        *norms,
        Bound("attention", lambda pt, om: timing.attention_interval(*shape, pt, om, position)),
        Bound("ffn_residual", lambda pe: arch.width // pe + 1),
        Bound("embed", lambda pe: arch.width // pe, False),
        Bound("argmax", lambda pe: arch.vocab // pe + 1, False),
    ]


def _matmul_bound(arch: Architecture, node: str) -> Bound:
    rows, cols = matmul_shapes(arch)[node]
    return Bound(node, lambda pe, simd: timing.matmul_interval(rows, cols, pe, simd), node not in OUTSIDE)


def divide(a: int, b: int) -> bool:
    """Whether a converter between a and b lanes runs at full rate: one must divide the other."""
    return a % b == 0 or b % a == 0


def _requantised(arch: Architecture, node: str, ternary: bool) -> Link:
    """A linear layer and its requantise, which must be done with a burst before the next one comes."""
    rows, cols = matmul_shapes(arch)[node]

    def cycles(pe: int, simd: int, lanes: int) -> int | None:
        drain = latency.drain(pe, lanes)
        if not divide(pe, lanes) or drain > rows // simd:
            return None
        return latency.matmul(rows, cols, pe, simd, ternary) + drain

    return Link((node, BOTH), (latency.REQUANTISE[node], LANES), cycles, node not in OUTSIDE)


def _normed(arch: Architecture, norm: str, node: str) -> Link:
    """A norm and the linear layer that reads it."""
    rows, _ = matmul_shapes(arch)[node]

    def cycles(lanes: int, simd: int) -> int | None:
        if not divide(lanes, simd):
            return None
        return latency.norm(arch, lanes) + latency.late(lanes, rows, simd, arch.width // lanes)

    return Link((norm, LANES), (node, INPUTS), cycles, node not in OUTSIDE)


def _around_attention(arch: Architecture, position: int) -> list[Link]:
    """RoPE, attention, and the layer behind it, which must read heads as fast as they come."""
    rows, _ = matmul_shapes(arch)["attn_out_acc"]

    def span(pt: int, om: int) -> int:
        return latency.attention_span(arch, pt, om, position)

    def before(pt: int, om: int, lanes: int) -> int:
        return latency.attention_first(arch, pt, om, lanes, position) + span(pt, om)

    def behind(pt: int, om: int, simd: int) -> int | None:
        if om > simd or not divide(arch.head_dim, simd):
            return None
        return latency.late(arch.head_dim, rows, simd, span(pt, om) + 1)

    attention = ("attention", ("PT", "OM"))
    return [
        Link(attention, ("rope", LANES), before),
        Link(attention, ("attn_out_acc", INPUTS), behind),
    ]


def _lanes(arch: Architecture) -> list[Link]:
    """Streams that must not be narrower behind a node than before it, or their bursts would pile up."""

    def wider(a: int, b: int) -> int | None:
        return None if b % a else 0

    def link(first: str, second: str, cycles: Callable[[int, int], int | None], factor: str = "PE") -> Link:
        return Link((first, LANES), (second, (factor,)), cycles, first not in ("embed", "logits"))

    return [
        link("embed", "ffn_residual", lambda a, b: None if b % a else latency.entry(arch, a)),
        link("attn_residual", "ffn_residual", lambda a, b: 0 if a == b else None),  # each bypasses the other
        link("ffn_residual", "attn_norm", wider),
        link("attn_residual", "ffn_norm", wider),
        link("ffn_residual", "final_norm", wider),
        link("qkv", "rope", wider),
        link("gate_up", "glu", lambda lanes, pairs: wider(lanes, 2 * pairs)),
        link("gate_up", "down_acc", lambda lanes, simd: 0 if lanes <= 2 * simd else None, "SIMD"),
        link("logits", "argmax", lambda a, b: None if b % a else latency.choice(b)),
    ]
