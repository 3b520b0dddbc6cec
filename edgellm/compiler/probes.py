"""Which streams are recorded in simulation, and how their beats are read."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finn.util.basic import getHWCustomOp

UNWATCHED = ("StreamFork", "StreamingFIFO", "StreamingDataWidthConverter")  # they compute nothing
PIPELINE = (
    *("sequencer", "embed", "loop", "attn_norm", "qkv_acc", "qkv", "rope", "attention", "attn_out_acc"),
    *("attn_residual", "ffn_norm", "gate_up_acc", "gate_up", "glu", "down_acc", "ffn_residual"),
    *("final_norm", "head_acc", "logits", "logits_tap", "sampler", "argmax"),
)
INTERLEAVED = ("gate_up_acc", "gate_up")
WITHOUT_TAP = ("sequencer", "loop", "logits_tap")


@dataclass(frozen=True, slots=True)
class Probe:
    """One recorded stream; the fields of design.json."""

    id: int
    node: str
    op: str
    tensor: str
    tap: str | None  # of docs/numerics.md
    lanes: int
    bits: int  # a lane
    signed: bool
    elements: int  # of one vector
    order: str | None  # "interleaved": gate and up channels alternate


def probes(model: Any) -> list[Probe]:
    """Probes of a specialised graph, numbered in the order in which a token passes the nodes."""
    found: list[Probe] = []
    for node in sorted(model.graph.node, key=place):
        kind = node.op_type.removesuffix("_rtl")
        if kind not in UNWATCHED:
            for index in range(len(node.output)):
                found.append(_probe(len(found), node, kind, index))
    return found


def place(node: Any) -> int:
    """Where a node stands in a token's way; those that compute nothing come last."""
    return PIPELINE.index(node.name) if node.name in PIPELINE else len(PIPELINE)


def _probe(number: int, node: Any, kind: str, index: int) -> Probe:
    op, tensor = getHWCustomOp(node), node.output[index]
    tap = node.name if index == 0 and node.name not in WITHOUT_TAP else None
    order = "interleaved" if node.name in INTERLEAVED else None
    dtype = op.get_output_datatype(index)
    lanes, bits = op.get_folded_output_shape(index)[-1], dtype.bitwidth()
    elements, signed = op.get_normal_output_shape(index)[-1], bool(dtype.signed())
    return Probe(number, node.name, kind, tensor, tap, int(lanes), int(bits), signed, int(elements), order)
