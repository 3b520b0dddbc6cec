"""The accelerator as one plain SystemVerilog module: nodes as instances, streams as wires of the tensor's name.

Ports: in0 takes command words, out0 gives event words (docs/hardware.md). In simulation every output of a node that
computes something carries a probe.
"""

# mypy: disallow-any-unimported=False
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finn.util.basic import getHWCustomOp

from edgellm.compiler import weights
from edgellm.errors import CompileError

SIGNALS = ("tdata", "tvalid", "tready")


@dataclass(frozen=True, slots=True)
class Edge:
    """A stream between two ports."""

    wire: str
    bits: int  # of TDATA


@dataclass(frozen=True, slots=True)
class Cell:
    """One instance: its module and the stream on each port."""

    name: str
    module: str
    ports: dict[str, str]  # in0, out1, ... -> wire


@dataclass(frozen=True, slots=True)
class Watch:
    """A probe on a stream."""

    number: int
    wire: str


def stitch(model: Any, back_edges: Mapping[str, str], watched: list[str], top: str = "top") -> str:
    """Text of module `top`.

    `back_edges` maps graph outputs to the graph inputs they drive; what is left are the ports. `watched` are the
    tensors with probes, in the order of their numbers. Raises CompileError when the widths of an edge differ.
    """
    joined = {into: out for out, into in back_edges.items()}
    edges: dict[str, Edge] = {}
    cells = [_cell(node, model, joined, edges) for node in model.graph.node]
    ends = {
        "in": [t.name for t in model.graph.input if t.name in edges and t.name not in joined],
        "out": [t.name for t in model.graph.output if t.name not in back_edges],
    }
    ports = {f"{kind}{k}": edges[name] for kind, names in ends.items() for k, name in enumerate(names)}
    watches = [Watch(number, edges[name].wire) for number, name in enumerate(watched)]
    return _module(top, ports, list(edges.values()), cells, watches)


def wire_name(tensor: str) -> str:
    """A Verilog identifier for a tensor."""
    return re.sub(r"\W", "_", tensor)


def _cell(node: Any, model: Any, joined: Mapping[str, str], edges: dict[str, Edge]) -> Cell:
    op = getHWCustomOp(node)
    ports = {}
    for index, tensor in enumerate(node.input):
        if model.get_initializer(tensor) is None:
            stream = joined.get(tensor, tensor)
            ports[f"in{index}"] = _connect(edges, stream, op.get_instream_width_padded(index), node.name)
    for index, tensor in enumerate(node.output):
        ports[f"out{index}"] = _connect(edges, tensor, op.get_outstream_width_padded(index), node.name)
    return Cell(node.name, module(node), ports)


def module(node: Any) -> str:
    """Verilog module of a node."""
    if node.op_type.startswith("MVAU"):
        return weights.module_name(node.name)
    return str(getHWCustomOp(node).get_verilog_top_module_name())


def _connect(edges: dict[str, Edge], tensor: str, bits: int, node: str) -> str:
    """The wire of a tensor; both its ends must have one width."""
    edge = edges.setdefault(tensor, Edge(wire_name(tensor), bits))
    if edge.bits != bits:
        raise CompileError(f"stream {tensor} has {edge.bits} bits at one end and {bits} at node {node}")
    return edge.wire


def _module(
    top: str, ports: dict[str, Edge], edges: list[Edge], cells: list[Cell], watches: list[Watch]
) -> str:
    header = ["input wire ap_clk", "input wire ap_rst_n", *(_port(*port) for port in ports.items())]
    body = [
        *(_wire(edge) for edge in edges),
        *(_join(name, edge.wire) for name, edge in ports.items()),
        *(_instance(cell) for cell in cells),
        "`ifdef VERILATOR",
        *(_probe(watch, edges) for watch in watches),
        "`endif",
    ]
    return f"module {top} (\n  " + ",\n  ".join(header) + "\n);\n" + "\n".join(body) + "\nendmodule\n"


def _port(name: str, edge: Edge) -> str:
    ahead, back = ("input", "output") if name.startswith("in") else ("output", "input")
    return (
        f"{ahead} wire [{edge.bits - 1}:0] {name}_V_TDATA,\n"
        f"  {ahead} wire {name}_V_TVALID,\n  {back} wire {name}_V_TREADY"
    )


def _wire(edge: Edge) -> str:
    return f"  wire [{edge.bits - 1}:0] {edge.wire}_tdata;\n  wire {edge.wire}_tvalid, {edge.wire}_tready;"


def _join(port: str, wire: str) -> str:
    pairs = [(f"{port}_V_{signal.upper()}", f"{wire}_{signal}") for signal in SIGNALS]
    inward = port.startswith("in")
    # An input port drives data and valid of its stream and is driven by ready; an output the other way round.
    assigned = [(w, p) if inward != (w.endswith("tready")) else (p, w) for p, w in pairs]
    return "\n".join(f"  assign {left} = {right};" for left, right in assigned)


def _instance(cell: Cell) -> str:
    pins = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)"]
    for port, wire in cell.ports.items():
        pins += [f".{port}_V_{signal.upper()}({wire}_{signal})" for signal in SIGNALS]
    return f"  {cell.module} {wire_name(cell.name)} (\n    " + ",\n    ".join(pins) + "\n  );"


def _probe(watch: Watch, edges: list[Edge]) -> str:
    bits = next(edge.bits for edge in edges if edge.wire == watch.wire)
    pins = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)"]
    pins += [f".{signal}({watch.wire}_{signal})" for signal in SIGNALS]
    return f"  axis_probe #(.ID({watch.number}), .W({bits})) probe{watch.number} (" + ", ".join(pins) + ");"
