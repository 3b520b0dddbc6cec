"""The report's rows: what each node of a specialised graph costs and takes."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

import dataclasses
from typing import Any

from finn.util.basic import getHWCustomOp

from edgellm.compiler import costs, estimate, probes, timing, work
from edgellm.compiler.boards import Board
from edgellm.compiler.costs import FORMULA, Cost
from edgellm.compiler.folding import Folding, matmul_shapes
from edgellm.numerics import workload
from edgellm.numerics.model import Architecture

PLUMBING = {"StreamingFIFO": "FIFOs", "StreamingDataWidthConverter": "width converters"}
FINN_SOURCE = "FINN"


def report(
    model: Any, name: str, board: Board, folding: Folding, slots: int, arch: Architecture
) -> dict[str, Any]:
    """Content of report.json before anything was measured."""
    rows = _rows(model, board, arch)
    totals = {r: sum(row[r] for row in rows) for r in costs.RESOURCES}
    board_row = dataclasses.asdict(board)
    board_row["dsp_kind"], board_row["dsp"] = board.dsp, board.dsps
    last, linear, ternary = arch.context - 1, _linear_macs(model), _ternary(model)
    return {
        "format": 1,
        "model": name,
        "slots": slots,
        "nodes": rows,
        "totals": totals,
        "board": board_row,
        "macs": {
            "first_position": linear + workload.attention_macs(arch, 0),
            "last_position": linear + workload.attention_macs(arch, last),
        },
        "cycles": {
            "first_position": estimate.single_stream_cycles(arch, folding, 0, ternary),
            "last_position": estimate.single_stream_cycles(arch, folding, last, ternary),
            "saturated": _saturated(arch, folding),
        },
    }


def _saturated(arch: Architecture, folding: Folding) -> int:
    """Cycles from a token to the next with enough streams: of the block for all layers, or of the head, which is slower."""
    head = timing.matmul_interval(
        *matmul_shapes(arch)["head_acc"], folding("head_acc"), folding("head_acc", "SIMD")
    )
    return max(arch.layers * estimate.block_interval(arch, folding, 0), head)


def _linear_macs(model: Any) -> int:
    """Multiply-accumulates of the matrix units for one token, through all layers."""
    shapes = (
        getHWCustomOp(node).dimensions() for node in model.graph.node if node.op_type.startswith("MVAU")
    )
    return sum(int(rows * cols * sets) for rows, cols, sets, *_ in shapes)


def _ternary(model: Any) -> frozenset[str]:
    """Matrix units without DSPs."""
    units = (node for node in model.graph.node if node.op_type.startswith("MVAU"))
    return frozenset(node.name for node in units if getHWCustomOp(node).weight_bits() == costs.TERNARY)


def row_name(node: Any) -> str:
    """The row of the report that a node's cost is in."""
    return str(PLUMBING.get(_kind(node), node.name))


def _kind(node: Any) -> str:
    return str(node.op_type.removesuffix("_rtl"))


def _rows(model: Any, board: Board, arch: Architecture) -> list[dict[str, Any]]:
    """One row a computing node, then one for all FIFOs and one for all converters."""
    rows = []
    plumbing = {
        PLUMBING["StreamingFIFO"]: Cost(source=FINN_SOURCE),
        PLUMBING["StreamingDataWidthConverter"]: Cost(),
    }
    for node in sorted(model.graph.node, key=probes.place):
        op, kind = getHWCustomOp(node), _kind(node)
        if kind in PLUMBING:
            plumbing[row_name(node)] = _sum(plumbing[row_name(node)], _plumbing_cost(op, kind, board.part))
        else:
            cost = op.cost(board.part)
            row = _row(node.name, kind, _factors(op, kind), int(op.get_exp_cycles()), cost)
            rows.append({**row, "work": _work(op, kind, arch)})
    for name, cost in plumbing.items():
        rows.append(_row(name, "", {}, 0, cost))
    return rows


def _work(op: Any, kind: str, arch: Architecture) -> dict[str, int] | None:
    """Of the nodes that do the model's multiplications; None for the others."""
    if kind == "MVAU":
        rows, cols, sets, pe, simd = op.dimensions()
        return dataclasses.asdict(work.linear(rows, cols, sets, pe, simd, op.weight_bits()))
    if kind == "CausalAttention":
        return dataclasses.asdict(work.attention(arch, op.attr("PT"), op.attr("KVBits")))
    return None


def _sum(total: Cost, part: Cost) -> Cost:
    return dataclasses.replace(total + part, source=total.source)


def _row(node: str, op: str, folding: dict[str, int], cycles: int, cost: Cost) -> dict[str, Any]:
    counts = {name: getattr(cost, name) for name in costs.RESOURCES}
    row = {"node": node, "op": op, "folding": folding, "expected_cycles": cycles, "measured_cycles": None}
    return {**row, **counts, "source": cost.source}


def _factors(op: Any, kind: str) -> dict[str, int]:
    names = ("PE", "SIMD") if kind == "MVAU" else op.FOLDING
    return {name: int(op.get_nodeattr(name)) for name in names}


def _plumbing_cost(op: Any, kind: str, part: str) -> Cost:
    """FIFOs as FINN estimates them; a converter is a shift register of the wider of its streams."""
    if kind == "StreamingFIFO":
        return Cost(
            lut=int(op.lut_estimation(part)),
            ff=2 * int(op.get_outstream_width()) + 12,
            bram18=int(op.bram_estimation(part)),
            source=FINN_SOURCE,
        )
    bits = max(int(op.get_instream_width()), int(op.get_outstream_width()))
    return Cost(lut=bits + 12, ff=2 * bits + 12, source=FORMULA)
