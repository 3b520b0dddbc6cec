"""Where the cycles of one token go: parts by node, whose sums are the estimates of a single stream.

A part is what its node adds between the last beat of its input and the last beat of its output, with the requantise
behind a linear layer counted to that layer. The formulas hold where every stream behind a node is as fast as the bursts
it is given (search_space.RULES); a stream that is slower adds to the estimate.
"""

from __future__ import annotations

from edgellm.compiler import timing
from edgellm.compiler.folding import Folding, matmul_shapes
from edgellm.numerics.model import Architecture

TO_NORM = 3  # cycles of the fork and the FIFO or converter before a norm
LOOP = 3  # last beat back from the block to last beat into it
ENTRY = 12  # token to the last beat of its embedding at the loop, without the beats

REQUANTISE = {  # behind each linear layer
    "qkv_acc": "qkv",
    "attn_out_acc": "attn_residual",
    "gate_up_acc": "gate_up",
    "down_acc": "ffn_residual",
    "head_acc": "logits",
}
Parts = dict[str, int]  # node -> cycles
Nodes = frozenset[str]
NONE: Nodes = frozenset()


def norm(arch: Architecture, pe: int) -> int:
    """An RMSNorm and the way to it."""
    return timing.norm_latency(arch.width, pe) + TO_NORM


def matmul(rows: int, cols: int, pe: int, simd: int, ternary: bool = False) -> int:
    """A linear layer and its requantise, but what `late` and `drain` say.

    The cycles of its converter and FIFO are those by which the unit's latency is bounded from above.
    """
    saved = timing.TERNARY_SAVES if ternary else 0
    return timing.matmul_latency(rows, cols, pe, simd) + timing.PIPELINE - saved


def late(lanes: int, rows: int, simd: int, span: int) -> int:
    """Cycles a matrix unit still reads after the last beat of an input of `lanes` that arrives in `span` cycles.

    A unit with fewer inputs than the stream has lanes takes rows/SIMD cycles to read a vector.
    """
    return max(0, -(-lanes // simd) - 1, rows // simd - span)


def drain(pe: int, lanes: int) -> int:
    """Cycles in which the last PE results leave through the requantise."""
    return -(-pe // lanes)


def attention_first(arch: Architecture, pt: int, om: int, rope: int, position: int) -> int:
    """Last value in to first result out of attention, when `rope` lanes come a cycle."""
    shape = (arch.heads, arch.kv_heads, arch.head_dim, pt, om)
    return timing.attention_first(*shape, position, arch.head_dim // rope)


def attention_span(arch: Architecture, pt: int, om: int, position: int) -> int:
    """First to last result of attention."""
    return timing.attention_span(arch.heads, arch.kv_heads, arch.head_dim, pt, om, position)


def attention_parts(arch: Architecture, f: Folding, position: int, ternary: Nodes = NONE) -> Parts:
    """From the residual's last beat at the loop to the last beat of attn_residual; `ternary`: nodes with such weights."""
    a, lanes = arch, f("attn_norm")
    pt, om = f("attention", "PT"), f("attention", "OM")
    span = attention_span(a, pt, om, position)
    return {
        "attn_norm": norm(a, lanes),
        "qkv_acc": _linear(a, f, "qkv_acc", lanes, a.width // lanes, ternary),
        "rope": timing.PIPELINE + 1,
        "attention": attention_first(a, pt, om, f("rope"), position) + span,
        "attn_out_acc": _linear(a, f, "attn_out_acc", a.head_dim, span + 1, ternary),
    }


def ffn_parts(arch: Architecture, f: Folding, ternary: Nodes = NONE) -> Parts:
    """From the last beat of attn_residual to the last beat of ffn_residual."""
    lanes = f("ffn_norm")
    span = timing.matmul_interval(*matmul_shapes(arch)["gate_up_acc"], *_factors(f, "gate_up_acc"))
    return {
        "ffn_norm": norm(arch, lanes),
        "gate_up_acc": _linear(arch, f, "gate_up_acc", lanes, arch.width // lanes, ternary),
        "glu": timing.PIPELINE,
        "down_acc": _linear(arch, f, "down_acc", f("glu"), span, ternary),
    }


def head_parts(arch: Architecture, f: Folding, ternary: Nodes = NONE) -> Parts:
    """From the last layer's residual to the token."""
    lanes = f("final_norm")
    return {
        "final_norm": norm(arch, lanes),
        "head_acc": _linear(arch, f, "head_acc", lanes, arch.width // lanes, ternary),
        "argmax": choice(f("argmax")),
    }


def choice(pe: int) -> int:
    """Tap, sampler and the largest score."""
    return timing.TAP + timing.SAMPLER + timing.argmax_latency(pe)


def entry(arch: Architecture, embed: int) -> int:
    """Token to the last beat of its embedding at the loop."""
    return ENTRY + arch.width // embed


def token_parts(arch: Architecture, f: Folding, position: int, ternary: Nodes = NONE) -> Parts:
    """All of a token's way; parts of the block count once a layer."""
    block = {"loop": LOOP, **attention_parts(arch, f, position, ternary), **ffn_parts(arch, f, ternary)}
    repeated = {node: arch.layers * cycles for node, cycles in block.items()}
    return {"embed": entry(arch, f("embed")), **repeated, **head_parts(arch, f, ternary)}


def _factors(f: Folding, node: str) -> tuple[int, int]:
    return f(node), f(node, "SIMD")


def _linear(arch: Architecture, f: Folding, node: str, lanes: int, span: int, ternary: Nodes) -> int:
    """Last beat in to last beat behind the requantise, for an input of `lanes` that arrives in `span` cycles."""
    rows, cols = matmul_shapes(arch)[node]
    pe, simd = _factors(f, node)
    through = late(lanes, rows, simd, span) + matmul(rows, cols, pe, simd, node in ternary)
    return through + drain(pe, f(REQUANTISE[node]))
