"""Resources and cycles of an accelerator from its folding alone, before there is a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from edgellm.compiler import costs, latency, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.folding import Folding, matmul_shapes
from edgellm.numerics import model as numerics
from edgellm.numerics import sampling
from edgellm.numerics.model import Architecture, Int, IntegerModel, Linear

EIGHT = numerics.Widths()
SELECTORS = 8  # nodes with a parameter set per layer


@dataclass(frozen=True, slots=True)
class Widths:
    """What a model's numbers need: bits of the weights, multipliers and biases of each linear layer, and of the rest."""

    weight: dict[str, int]
    entry: dict[str, int]
    kept: numerics.Widths = EIGHT


@dataclass(frozen=True, slots=True)
class Design:
    """Everything but the folding that decides what an accelerator costs."""

    arch: Architecture
    widths: Widths
    dsp: str  # kind of multiplier block
    slots: int
    tokens: int  # in flight in the loop
    ultra: bool = False  # keys and values in UltraRAM
    step_bits: int = 8  # a logit step is 2^-step_bits nats

    @property
    def ternary(self) -> frozenset[str]:
        """Matrix units without DSPs."""
        return frozenset(node for node, bits in self.widths.weight.items() if bits == costs.TERNARY)


def signed_bits(values: Int) -> int:
    """Bits that hold every value in two's complement."""
    low, high = int(np.min(values)), int(np.max(values))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def layers(model: IntegerModel) -> dict[str, list[Linear]]:
    """The linear layers of one hardware node each: one per decoder layer, and the head's."""
    kinds = {
        kind: [getattr(block, kind) for block in model.blocks]
        for kind in ("qkv", "attn_out", "gate_up", "down")
    }
    return {**{f"{kind}_acc": group for kind, group in kinds.items()}, "head_acc": [model.head]}


def bias_bits(group: list[Linear]) -> int:
    """Bits of the bias column of a parameter table; 0 when all biases are the same."""
    biases = np.concatenate([linear.bias for linear in group])
    return 0 if (biases == biases[0]).all() else signed_bits(biases)


def mult_bits(group: list[Linear]) -> int:
    return max(int(linear.mult.max()) for linear in group).bit_length()


def weight_bits(group: list[Linear]) -> int:
    """Bits of the narrow signed type that holds every weight."""
    return max(2, max(int(np.abs(linear.weight.astype(np.int16)).max()) for linear in group).bit_length() + 1)


def widths(model: IntegerModel) -> Widths:
    """Widths of a model's weights and parameter tables."""
    groups = layers(model)
    return Widths(
        {node: weight_bits(group) for node, group in groups.items()},
        {node: mult_bits(group) + bias_bits(group) for node, group in groups.items()},
        model.widths,
    )


def node_costs(design: Design, folding: Folding) -> dict[str, Cost]:
    """Estimates of the nodes that `folding` mentions (it may mention some only), FIFOs and converters left out."""
    return {
        node: cost for node in folding.nodes for node, cost in _COSTS[node](design, folding, node).items()
    }


def total(parts: dict[str, Cost]) -> Cost:
    return reduce(Cost.__add__, parts.values(), Cost())


def _matmul(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    rows, cols = matmul_shapes(d.arch)[node]
    sets, bits = (1 if node == "head_acc" else d.arch.layers), d.widths.weight[node]
    return {node: costs.matmul(d.dsp, rows, cols, sets, f(node), f(node, "SIMD"), bits)}


def _requantise(n: Callable[[Architecture], int], layer: str, adds: bool) -> Callable[..., dict[str, Cost]]:
    def cost(d: Design, f: Folding, node: str) -> dict[str, Cost]:
        sets = 1 if layer == "head_acc" else d.arch.layers
        return {node: costs.requantise(n(d.arch), f(node), sets, d.widths.entry[layer], adds)}

    return cost


def _norm(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    return {node: costs.rms_norm(d.arch.width, f(node), d.dsp)}


def _rope(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    return {node: costs.rope(d.arch.context, d.arch.head_dim, f(node))}


def _attention(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    a = d.arch
    memories = a.layers * d.slots
    shape = a.heads, a.kv_heads, a.head_dim, a.context, memories, f(node, "PT"), f(node, "OM")
    return {
        node: costs.attention(*shape, d.ultra, d.dsp, d.widths.kept.kv),
        "tag_fork": costs.fork(2, 40),
        "selector_fork": costs.fork(SELECTORS, 8),
        "sequencer": costs.sequencer(d.slots),
    }


def _residual(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    lanes = f(node)
    loop = costs.loop_control(d.tokens, d.arch.width // lanes, 16 * lanes)
    add = _requantise(lambda a: a.width, "down_acc", True)(d, f, node)
    return {**add, "loop": loop, "residual_fork": costs.fork(2, 16 * lanes)}


def _embed(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    return {node: costs.embedding(d.arch.vocab, d.arch.width, f(node), d.widths.kept.embedding)}


def _choice(d: Design, f: Folding, node: str) -> dict[str, Cost]:
    lanes, bits = f(node), sampling.score_bits(d.step_bits)
    return {
        "logits_tap": costs.logits_tap(lanes),
        "sampler": costs.sampler(lanes, bits),
        node: costs.argmax(lanes, bits),
    }


_COSTS: dict[str, Callable[[Design, Folding, str], dict[str, Cost]]] = {
    **dict.fromkeys(("qkv_acc", "attn_out_acc", "gate_up_acc", "down_acc", "head_acc"), _matmul),
    **dict.fromkeys(("attn_norm", "ffn_norm", "final_norm"), _norm),
    "qkv": _requantise(lambda a: a.qkv_width, "qkv_acc", False),
    "gate_up": _requantise(lambda a: 2 * a.ffn, "gate_up_acc", False),
    "logits": _requantise(lambda a: a.vocab, "head_acc", False),
    "attn_residual": _requantise(lambda a: a.width, "attn_out_acc", True),
    "ffn_residual": _residual,
    "rope": _rope,
    "attention": _attention,
    "glu": lambda d, f, node: {node: costs.silu_gate(f(node))},
    "embed": _embed,
    "argmax": _choice,
}


def attention_branch(arch: Architecture, f: Folding, position: int) -> int:
    """Cycles from the residual's last beat at the loop to the last beat of attn_residual."""
    return sum(latency.attention_parts(arch, f, position).values())


def ffn_branch(arch: Architecture, f: Folding) -> int:
    """Cycles from the last beat of attn_residual to the last beat of ffn_residual."""
    return sum(latency.ffn_parts(arch, f).values())


def head_latency(arch: Architecture, f: Folding) -> int:
    """Cycles from the last layer's residual to the token."""
    return sum(latency.head_parts(arch, f).values())


def loop_pass(arch: Architecture, f: Folding, position: int, ternary: latency.Nodes = latency.NONE) -> int:
    """Cycles of one trip through the block, loop control included."""
    parts = latency.attention_parts(arch, f, position, ternary), latency.ffn_parts(arch, f, ternary)
    return latency.LOOP + sum(sum(branch.values()) for branch in parts)


def single_stream_cycles(
    arch: Architecture, f: Folding, position: int, ternary: latency.Nodes = latency.NONE
) -> int:
    """Estimated cycles from one generated token to the next when a single stream runs."""
    return sum(latency.token_parts(arch, f, position, ternary).values())


def block_intervals(arch: Architecture, f: Folding, position: int) -> dict[str, int]:
    """Cycles from one vector to the next that each node of the block can do."""
    folds = {
        node: timing.matmul_interval(rows, cols, f(node), f(node, "SIMD"))
        for node, (rows, cols) in matmul_shapes(arch).items()
        if node != "head_acc"
    }
    shape = (arch.heads, arch.kv_heads, arch.head_dim, f("attention", "PT"), f("attention", "OM"))
    attention = {"attention": timing.attention_interval(*shape, position)}
    norms = {node: timing.norm_interval(arch.width, f(node)) for node in ("attn_norm", "ffn_norm")}
    return {**folds, **attention, **norms, "loop": arch.width // f("ffn_residual") + 1}


def block_interval(arch: Architecture, f: Folding, position: int) -> int:
    """Cycles from one vector to the next when the block is kept full."""
    return max(block_intervals(arch, f, position).values())


def end_intervals(arch: Architecture, f: Folding) -> dict[str, int]:
    """Cycles from one token to the next that each node outside of the block can do."""
    rows, cols = matmul_shapes(arch)["head_acc"]
    return {
        "embed": arch.width // f("embed"),
        "final_norm": timing.norm_interval(arch.width, f("final_norm")),
        "head_acc": timing.matmul_interval(rows, cols, f("head_acc"), f("head_acc", "SIMD")),
        "argmax": arch.vocab // f("argmax") + 1,
    }


def saturated_bounds(design: Design, f: Folding, position: int) -> dict[str, int]:
    """Cycles a token with all slots busy at `position`, as each bound alone would have it: the largest holds.

    A slot starts a token when its last one is there, and the loop holds so many tokens: "slots" and "tokens in flight"
    follow from Little's law, the others from the nodes' intervals.
    """
    a = design.arch
    block = {node: a.layers * cycles for node, cycles in block_intervals(a, f, position).items()}
    waits = {
        "slots": -(-single_stream_cycles(a, f, position, design.ternary) // design.slots),
        "tokens in flight": -(-a.layers * loop_pass(a, f, position, design.ternary) // design.tokens),
    }
    return {**block, **end_intervals(a, f), **waits}


def saturated_cycles(design: Design, f: Folding, position: int) -> int:
    """Estimated cycles a token with all slots busy."""
    return max(saturated_bounds(design, f, position).values())
