"""The stitched top and what it is stitched from: wires, widths, weight memories, names of converters and FIFOs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from compiled import design, random_folding
from finn.util.basic import getHWCustomOp
from qonnx.core.modelwrapper import ModelWrapper
from shapes import TINY

from edgellm.compiler import boards, passes
from edgellm.compiler.graph import GraphBuilder
from edgellm.compiler.lowering import Lowering, lower
from edgellm.compiler.stitch import stitch
from edgellm.errors import CompileError
from edgellm.numerics.random import random_model

pytestmark = pytest.mark.fpga

PART = boards.load("aup-zu3").part


@pytest.fixture(scope="module")
def connected() -> Any:
    """A specialised graph with converters and FIFOs."""
    plan = Lowering(random_model(TINY, 1), random_folding(TINY, 3), 2, 4, False)
    return passes.connect(passes.specialise(lower(plan), PART), PART)


def pair(first: int, second: int) -> Any:
    """Two forks in a row that disagree about the type of the stream between them."""
    g = GraphBuilder()
    for name in ("a", "b", "c"):
        g.tensor(name, 8, "INT8")
    for name, into, out, bits in (("one", "a", "b", first), ("two", "b", "c", second)):
        g.node("StreamFork", name, [into], [out], K=1, N=8, PE=2, dataType=f"INT{bits}")
    return g.model(["a"], ["c"])


def test_streams_are_wires_named_after_tensors() -> None:
    text = stitch(pair(8, 8), {}, ["b"])
    assert text.startswith(
        "module top (\n  input wire ap_clk,\n  input wire ap_rst_n,\n  input wire [15:0] in0_V_TDATA"
    )
    assert text.count("wire [15:0] b_tdata;") == 1
    assert text.count("(b_tdata)") == 3  # out of one, into two, and the probe
    assert "assign a_tdata = in0_V_TDATA;" in text
    assert "assign in0_V_TREADY = a_tready;" in text
    assert "assign out0_V_TVALID = c_tvalid;" in text
    assert "assign c_tready = out0_V_TREADY;" in text
    guarded = text.split("`ifdef VERILATOR")[1].split("`endif")[0]
    assert "axis_probe #(.ID(0), .W(16)) probe0" in guarded
    assert text.count("axis_probe") == 1


def test_back_edge_closes_the_circle() -> None:
    text = stitch(pair(8, 8), {"c": "a"}, [])
    assert "in0" not in text.split(";")[0]
    assert "a_tdata" not in text
    assert text.count("(c_tdata)") == 2


def test_widths_of_an_edge_must_agree() -> None:
    with pytest.raises(CompileError, match="stream b has 16 bits at one end and 32 at node two"):
        stitch(pair(8, 16), {}, [])


def test_weight_file_holds_the_sets_one_after_the_other() -> None:
    folder = design(TINY)
    graph = ModelWrapper(str(folder / "finn.onnx"))
    node = next(n for n in graph.graph.node if n.name == "gate_up_acc")
    op, values = getHWCustomOp(node), graph.get_initializer("gate_up_acc.weight")
    pe, simd = op.get_nodeattr("PE"), op.get_nodeattr("SIMD")
    lines = (folder / "mem" / "gate_up_acc_weights.dat").read_text().split()
    depth = TINY.width * 2 * TINY.ffn // (pe * simd)
    assert len(lines) == TINY.layers * depth
    # row of neuron fold n and synapse fold s: lane (p, q) is the weight of input s*SIMD+q, output n*PE+p
    bits = op.weight_bits()
    for layer in range(TINY.layers):
        word = int(lines[layer * depth + 1], 16)
        fold, synapses = divmod(1, TINY.width // simd)
        for p in range(pe):
            for q in range(simd):
                got = word >> bits * (p * simd + q) & (1 << bits) - 1
                assert got == int(values[layer, synapses * simd + q, fold * pe + p]) & (1 << bits) - 1


def test_converters_and_fifos_are_named_after_their_streams(connected: Any) -> None:
    names = [node.name for node in connected.graph.node]
    assert len(names) == len(set(names))
    for node in connected.graph.node:
        if "Streaming" in node.op_type:
            kind = "fifo" if "FIFO" in node.op_type else "dwc"
            assert node.name == node.output[0] == f"{node.input[0]}_{kind}"
    assert {"embed", "qkv_acc", "attention", "loop", "sequencer", "residual_fork"} <= set(names)


def test_every_stream_has_room(connected: Any) -> None:
    """The depths without which the block stalls or locks up."""
    depth = {
        node.name: getHWCustomOp(node).get_nodeattr("depth")
        for node in connected.graph.node
        if node.op_type == "StreamingFIFO_rtl"
    }
    lanes = getHWCustomOp(connected.get_node_from_name("residual_fork")).get_nodeattr("PE")
    assert (
        depth["attn_bypass_fifo"] >= 2 * TINY.width // lanes
    )  # more than the vector that is being worked on
    assert all(depth[f"{node}_layer_fifo"] >= 5 for node in ("qkv", "qkv_acc", "ffn_residual"))
    for node in connected.graph.node:
        if node.op_type == "MVAU_rtl":
            op = getHWCustomOp(node)
            beats = op.get_nodeattr("MW") // op.get_nodeattr("SIMD")
            assert beats <= 2 or depth[node.input[0]] >= beats, node.name


def test_every_module_of_the_top_is_in_the_design() -> None:
    folder = design(TINY)
    used = set(
        re.findall(r"^  (\w+)(?: #\(.*?\))? \w+ \(", (folder / "top.sv").read_text(), re.MULTILINE)
    ) - {"wire"}
    text = "\n".join((folder / name).read_text() for name in (folder / "files.f").read_text().split())
    defined = re.findall(r"^\s*module (\w+)", text, re.MULTILINE)
    assert used <= set(defined)
    assert len(defined) == len(set(defined))
