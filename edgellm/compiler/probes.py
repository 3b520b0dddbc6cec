"""Which streams are recorded in simulation, and how their beats are read."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finn.util.basic import getHWCustomOp

UNWATCHED = ("StreamFork", "StreamingFIFO", "StreamingDataWidthConverter")  # they compute nothing
INTERLEAVED = ("gate_up_acc", "gate_up")
WITHOUT_TAP = ("sequencer", "loop")


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
    """Probes of a specialised graph, numbered in graph order."""
    found: list[Probe] = []
    for node in model.graph.node:
        kind = node.op_type.removesuffix("_rtl")
        if kind not in UNWATCHED:
            for index in range(len(node.output)):
                found.append(_probe(len(found), node, kind, index))
    return found


def _probe(number: int, node: Any, kind: str, index: int) -> Probe:
    op, tensor = getHWCustomOp(node), node.output[index]
    tap = node.name if index == 0 and node.name not in WITHOUT_TAP else None
    order = "interleaved" if node.name in INTERLEAVED else None
    dtype = op.get_output_datatype(index)
    lanes, bits = op.get_folded_output_shape(index)[-1], dtype.bitwidth()
    elements, signed = op.get_normal_output_shape(index)[-1], bool(dtype.signed())
    if dtype.name == "UINT8":  # a tag, token, word or layer is one number of several bytes
        lanes, bits, elements = 1, lanes * bits, 1
    return Probe(number, node.name, kind, tensor, tap, int(lanes), int(bits), signed, int(elements), order)
