"""The lowered graph: its shape, and that executing its nodes in Python gives every tensor of the golden model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from finn.util.basic import getHWCustomOp
from qonnx.core.datatype import DataType
from shapes import FULL_KV, SHARED_KV, TINY

from edgellm.compiler import boards, folding, passes
from edgellm.compiler.folding import Folding
from edgellm.compiler.lowering import BACK_EDGES, LAYERED, Lowering, interleaved, lower
from edgellm.compiler.ops import attention, tags
from edgellm.compiler.ops.base import BLOCK_TAG_BYTES, REQUEST_BYTES, TAG_BYTES, TOKEN_BYTES
from edgellm.errors import CompileError, FoldingError
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import Architecture, Block, IntegerModel
from edgellm.numerics.random import extreme_model, random_model
from edgellm.numerics.sampling import Sampling, chooser

pytestmark = pytest.mark.fpga
PART = boards.load("aup-zu3").part


def some_folding(arch: Architecture, seed: int) -> Folding:
    """Random legal factors."""
    rng = np.random.default_rng(seed)
    table = folding.legal(arch)
    return Folding({n: {k: int(rng.choice(v)) for k, v in factors.items()} for n, factors in table.items()})


def plan(model: IntegerModel, seed: int = 0, slots: int = 2) -> Lowering:
    return Lowering(model, some_folding(model.arch, seed), slots, 4, False)


class Executor:
    """Runs the graph's nodes for one token, with the loop over the layers in Python."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.context = {t.name: graph.get_initializer(t.name) for t in graph.graph.initializer}
        self.nodes = {node.name: getHWCustomOp(node) for node in graph.graph.node}

    def run(self, *names: str) -> None:
        for name in names:
            self.nodes[name].execute_node(self.context, self.graph.graph)

    def put(self, tensor: str, record: np.ndarray) -> None:
        self.context[tensor] = record.astype(np.float32)[None]

    def token(self, index: int, plain: int, layers: int) -> dict[tuple[str, int | None], np.ndarray]:
        taps: dict[tuple[str, int | None], np.ndarray] = {}
        self.put("token", tags.record(tags.token(plain, index), TOKEN_BYTES))
        self.run("embed")
        taps["embed", None] = self.context["embed"][0]
        residual = self.context["embed"]
        for layer in range(layers):
            self.context["loop_residual"] = residual
            self.put("block_tag", tags.record(tags.block_tag(plain, layer), BLOCK_TAG_BYTES))
            self.put("loop_layer", np.array([layer]))
            names = [n.name for n in self.graph.graph.node if n.name not in OUTSIDE]
            self.run(*names)
            taps |= {(name, layer): self.context[name][0] for name in names if "fork" not in name}
            residual = self.context["ffn_residual"]
        self.context["final_residual"] = residual
        self.put("final_tag", tags.record(plain, TAG_BYTES))
        seed, temperature = WISH.seed, WISH.temperature
        asked = seed | tags.position(plain) << 64 | temperature << 80
        self.put("request", tags.record(asked, REQUEST_BYTES))
        self.run("final_norm", "head_acc", "logits", "logits_tap", "sampler", "argmax")
        taps |= {(name, None): self.context[name][0] for name in ("final_norm", "head_acc", "logits")}
        return taps


OUTSIDE = {
    "sequencer",
    "embed",
    "loop",
    "final_norm",
    "head_acc",
    "logits",
    "logits_tap",
    "sampler",
    "argmax",
}
WISH = Sampling(0x0123456789ABCDEF, 3000)


@pytest.mark.parametrize(
    "model",
    [
        random_model(TINY, 1),
        random_model(SHARED_KV, 2),
        random_model(FULL_KV, 3, weight_bits=2),
        extreme_model(TINY, 4, "mixed"),
    ],
    ids=["tiny", "one layer", "ternary", "extreme"],
)
def test_every_tensor_equals_the_golden_model(model: IntegerModel) -> None:
    attention.forget()
    executor, golden = Executor(lower(plan(model))), GoldenModel(model)
    cache, order = golden.new_cache(), interleaved(model.arch.ffn)
    for position, index in enumerate((3, 0, model.arch.vocab - 1, 7)):
        expected: dict[tuple[str, int | None], np.ndarray] = {}

        def keep(name: str, layer: int | None, value: np.ndarray, into: dict = expected) -> None:
            into[name, layer] = np.asarray(value, np.int64)

        drawn = chooser(WISH, model.logit_step)(golden.step(cache, index, position, keep), position)
        taps = executor.token(index, tags.tag(position, 1, tags.HEAD), model.arch.layers)
        for (name, layer), value in expected.items():
            if name == "argmax":
                token = tags.number(executor.context["argmax"][0].astype(np.int64))
                assert (tags.index(token), tags.position(token), tags.slot(token)) == (drawn, position, 1)
            else:
                want = value[order] if name.startswith("gate_up") else value
                assert np.array_equal(taps[name, layer], want), (name, layer, position)


def test_graph_is_a_chain_of_single_streams() -> None:
    graph = lower(plan(random_model(TINY, 1)))
    made = [name for node in graph.graph.node for name in node.output]
    used = Counter(
        name for node in graph.graph.node for name in node.input if graph.get_initializer(name) is None
    )
    assert len(made) == len(set(made))
    assert set(used.values()) == {1}
    ends = {t.name for t in graph.graph.output}
    assert set(made) - set(used) == ends == {"event", "logits_shown", "ffn_residual", "argmax"}
    known = {t.name for t in graph.graph.input}
    for node in graph.graph.node:  # in an order in which it can be executed
        assert all(name in known or graph.get_initializer(name) is not None for name in node.input), node.name
        known |= set(node.output)


def test_back_edges_join_equal_streams() -> None:
    graph = lower(plan(random_model(TINY, 1)))
    edges = json.loads(graph.get_metadata_prop(BACK_EDGES))
    assert edges == {"ffn_residual": "loop_back", "argmax": "token_back"}
    nodes = {node.name: getHWCustomOp(node) for node in graph.graph.node}
    assert nodes["ffn_residual"].get_outstream_width(0) == nodes["loop"].get_instream_width(2)
    assert nodes["argmax"].get_outstream_width(0) == nodes["sequencer"].get_instream_width(1)


@pytest.mark.parametrize("seed", range(3))
def test_passes_keep_names_and_widths(seed: int) -> None:
    model = random_model(TINY, 1)
    graph = passes.specialise(lower(plan(model, seed)), PART)
    assert [n.op_type for n in graph.graph.node if not n.op_type.endswith("_rtl")] == []
    assert {*LAYERED, "embed", "rope", "attention", "glu", "head_acc", "argmax"} <= {
        n.name for n in graph.graph.node
    }
    graph = passes.connect(graph, PART)
    producers = {
        name: (getHWCustomOp(node), k) for node in graph.graph.node for k, name in enumerate(node.output)
    }
    for node in graph.graph.node:
        op = getHWCustomOp(node)
        for k, name in enumerate(node.input):
            if name in producers:
                producer, out = producers[name]
                assert producer.get_outstream_width(out) == op.get_instream_width(k), (node.name, name)
    assert {n.output[0] for n in graph.graph.node} | {"event"} >= {"ffn_residual", "argmax", "event"}


def test_accumulators_are_as_narrow_as_the_weights_of_all_layers_allow() -> None:
    model = random_model(TINY, 1)
    blocks = list(model.blocks)
    small = replace(blocks[0].qkv, weight=np.sign(blocks[0].qkv.weight).astype(np.int8))
    model = replace(
        model,
        blocks=(Block(small, *(getattr(blocks[0], k) for k in ("attn_out", "gate_up", "down"))), *blocks[1:]),
    )
    graph = passes.specialise(lower(plan(model)), PART)
    weights = np.concatenate([b.qkv.weight for b in model.blocks], axis=1).astype(np.int64)
    low = int(np.where(weights > 0, weights * -128, weights * 127).sum(axis=0).min())
    high = int(np.where(weights > 0, weights * 127, weights * -128).sum(axis=0).max())
    bits = max((-low - 1).bit_length(), high.bit_length()) + 1
    assert graph.get_tensor_datatype("qkv_acc") == DataType[f"INT{bits}"]
    requantise = next(getHWCustomOp(n) for n in graph.graph.node if n.name == "qkv")
    assert requantise.get_input_datatype(0) == DataType[f"INT{bits}"]


def test_bypass_holds_what_the_branch_holds() -> None:
    graph = passes.connect(passes.specialise(lower(plan(random_model(TINY, 1))), PART), PART)
    depths = {
        n.input[0]: getHWCustomOp(n).get_nodeattr("depth")
        for n in graph.graph.node
        if "StreamingFIFO" in n.op_type
    }
    f = some_folding(TINY, 0)
    assert depths["attn_bypass"] >= 2 * TINY.width // f("ffn_residual")
    assert depths["ffn_bypass"] >= 2 * TINY.width // f("attn_residual")
    small = [name for name, depth in depths.items() if depth < 32 and name.endswith(("_layer", "_tag"))]
    assert sorted(small) == ["block_tag", "loop_layer", "tapped_tag"]  # behind the first two stand deep FIFOs


def test_gate_and_up_alternate() -> None:
    assert interleaved(3).tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("slots", [0, 17])
def test_slots_out_of_range(slots: int) -> None:
    with pytest.raises(CompileError, match=f"slots is {slots}: an accelerator has 1 to 16 slots"):
        lower(plan(random_model(TINY, 1), slots=slots))


def test_wrong_folding_is_refused() -> None:
    model = random_model(TINY, 1)
    nodes = {**some_folding(TINY, 0).nodes, "glu": {"PE": 5}}
    with pytest.raises(
        FoldingError, match="glu: PE 5 does not fold its dimension 24: nearest legal values are 4 and 6"
    ):
        lower(Lowering(model, Folding(nodes), 2, 4, False))


def test_layers_must_share_a_shift() -> None:
    model = random_model(TINY, 1)
    first = model.blocks[0]
    odd = replace(first, qkv=replace(first.qkv, shift=first.qkv.shift + 1))
    with pytest.raises(CompileError, match="qkv: the layers have shifts"):
        lower(plan(replace(model, blocks=(odd, *model.blocks[1:]))))
