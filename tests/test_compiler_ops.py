"""The project's FINN operations: Python execution is the contract, generated HDL computes the same at the stated pace.

All nodes stand side by side in one generated top, so there is one Verilator build for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from finn.util import settings
from finn.util.basic import getHWCustomOp

from edgellm.compiler import passes, sources
from edgellm.compiler.graph import GraphBuilder
from edgellm.compiler.ops import attention, tags
from edgellm.compiler.ops.base import BLOCK_TAG_BYTES, REQUEST_BYTES, TAG_BYTES, TOKEN_BYTES
from edgellm.compiler.stitch import stitch
from edgellm.numerics import ops, sampling
from edgellm.numerics.tables import exp_table, rope_tables, silu_table
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.fpga
PART, VECTORS = "xczu3eg-sfvc784-2-e", 12
RNG = np.random.default_rng(20)
SETS, CONTEXT, SLOTS = 3, 32, 2


@dataclass
class Case:
    """One node: its operation, attributes, constants, and what it must compute."""

    name: str
    op: str
    attributes: dict[str, Any]
    inputs: list[tuple[int, str]]  # elements and FINN type of the streams
    outputs: list[tuple[int, str]]
    constants: list[tuple[np.ndarray, str]]
    want: Callable[..., Any]  # of one vector a stream; a tuple when there are several outputs
    spare: int = 0  # cycles that the interval may differ from the estimate


def table(low: int, high: int, *shape: int) -> np.ndarray:
    return RNG.integers(low, high + 1, shape)


def norm(name: str, pe: int) -> Case:
    attributes = {"N": 32, "PE": pe, "NormShift": 16}
    return Case(
        name, "RMSNorm", attributes, [(32, "INT16")], [(32, "INT8")], [], lambda x: ops.rms_norm(x, 16)
    )


def requantise(name: str, op: str, pe: int, one_bias: bool = False) -> Case:
    sets = 1 if op == "Logits" else SETS
    mult = table(1, 255, sets, 24)
    bias = np.full((sets, 24), 2048) if one_bias else table(-60000, 60000, sets, 24)
    attributes = {
        "N": 24, "PE": pe, "Sets": sets, "Shift": 12, "MultBits": 8, "BiasBits": 0 if one_bias else 17,
        "Bias": 2048 if one_bias else 0, "accDataType": "INT18",
    }  # fmt: skip

    def want(acc: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        chosen = 0 if op == "Logits" else int(rest[0][0])
        if op == "RequantiseAdd":
            return ops.add_residual(acc, mult[chosen], bias[chosen], 12, rest[1])
        return (ops.logits if op == "Logits" else ops.requantise)(acc, mult[chosen], bias[chosen], 12)

    selector = [] if op == "Logits" else [(1, "UINT8")]
    residual = [(24, "INT16")] if op == "RequantiseAdd" else []
    out = (24, "INT8" if op == "Requantise" else "INT16")
    constants = [(mult, "INT32"), (bias, "INT32")]
    return Case(name, op, attributes, [(24, "INT18"), *selector, *residual], [out], constants, want)


def rope(name: str, pe: int) -> Case:
    cos, sin = rope_tables(CONTEXT, 8)
    attributes = {"Rotated": 3, "Passed": 1, "HeadDim": 8, "PE": pe, "Context": CONTEXT}

    def want(x: np.ndarray, tag: np.ndarray) -> np.ndarray:
        at = tags.position(tags.number(tag))
        return ops.rope_qkv(x, 3, 8, cos[at], sin[at])

    return Case(
        name, "RoPE", attributes, [(32, "INT8"), (BLOCK_TAG_BYTES, "UINT8")], [(32, "INT8")],
        [(cos, "INT16"), (sin, "INT16")], want,
    )  # fmt: skip


def gate(name: str, pe: int) -> Case:
    silu = silu_table(1 / 16, 1 / 16)

    def want(x: np.ndarray) -> np.ndarray:
        return ops.silu_gate(np.concatenate([x[0::2], x[1::2]]), silu, 5)

    attributes = {"N": 12, "PE": pe, "GluShift": 5}
    return Case(name, "SiLUGate", attributes, [(24, "INT8")], [(12, "INT8")], [(silu, "INT8")], want)


def embedding(name: str, pe: int) -> Case:
    rows = table(-128, 127, 20, 16)

    def want(token: np.ndarray) -> tuple[Any, ...]:
        value = tags.number(token)
        return ops.embed(rows, tags.index(value), 4), tags.record(value & 0xFFFFFFFF, TAG_BYTES)

    attributes = {"Vocab": 20, "N": 16, "PE": pe, "EmbedShift": 4}
    outputs = [(16, "INT16"), (TAG_BYTES, "UINT8")]
    return Case(name, "Embedding", attributes, [(TOKEN_BYTES, "UINT8")], outputs, [(rows, "INT8")], want)


def argmax(name: str, pe: int) -> Case:
    def want(logits: np.ndarray, tag: np.ndarray) -> np.ndarray:
        return tags.record(tags.token(tags.number(tag), ops.argmax(logits)), TOKEN_BYTES)

    inputs = [(40, "INT22"), (TAG_BYTES, "UINT8")]
    return Case(name, "ArgMax", {"N": 40, "PE": pe, "Bits": 22}, inputs, [(TOKEN_BYTES, "UINT8")], [], want)


def logits_tap(name: str, pe: int) -> Case:
    lanes = max(4, 2 * pe)

    def want(logits: np.ndarray, tag: np.ndarray) -> tuple[Any, ...]:
        beats = np.zeros((1 + 40 // pe, lanes), np.uint8)
        beats[0, :4] = tag
        beats[1:, : 2 * pe] = logits.astype("<i2").view(np.uint8).reshape(-1, 2 * pe)
        return logits, tag, beats.reshape(-1)

    inputs = [(40, "INT16"), (TAG_BYTES, "UINT8")]
    outputs = [*inputs, ((1 + 40 // pe) * lanes, "UINT8")]
    case = Case(name, "LogitsTap", {"N": 40, "PE": pe}, inputs, outputs, [], want)
    case.spare = 1  # every vector is shown here
    return case


def sampler(name: str, pe: int) -> Case:
    def want(logits: np.ndarray, request: np.ndarray) -> np.ndarray:
        word = tags.number(request)
        wish = sampling.Sampling(word & (1 << 64) - 1, word >> 80)
        return sampling.scores(logits, wish, word >> 64 & 0xFFFF, 9)

    inputs = [(40, "INT16"), (REQUEST_BYTES, "UINT8")]
    outputs = [(40, f"INT{sampling.score_bits(9)}")]
    return Case(name, "Sampler", {"N": 40, "PE": pe, "StepBits": 9}, inputs, outputs, [], want)


def fork(name: str, pe: int) -> Case:
    attributes = {"K": 3, "N": 16, "PE": pe, "dataType": "INT16"}
    return Case(name, "StreamFork", attributes, [(16, "INT16")], [(16, "INT16")] * 3, [], lambda x: (x, x, x))


def matmul(name: str, pe: int, simd: int, sets: int) -> Case:
    matrices = table(-7, 7, max(1, sets), 24, 32)
    matrices[0, 0, 0] = 7
    attributes = {
        "PE": pe, "SIMD": simd, "MW": 24, "MH": 32, "bodies": sets, "inputDataType": "INT8", "weightDataType": "INT4",
        "outputDataType": "INT16", "accDataType": "INT16", "noActivation": 1, "numInputVectors": [1],
        "mem_mode": "internal_decoupled", "resType": "dsp", "inFIFODepths": [2, 2, 2],
    }  # fmt: skip

    def want(x: np.ndarray, *selector: np.ndarray) -> np.ndarray:
        return ops.accumulate(x, matrices[int(selector[0][0]) if selector else 0])

    inputs = [(24, "INT8"), *([(1, "UINT8")] if sets else [])]
    constant = (matrices if sets else matrices[0]).astype(np.float32)
    return Case(name, "MVAU", attributes, inputs, [(32, "INT16")], [(constant, "INT4")], want)


def causal_attention(name: str, pt: int) -> Case:
    exp, past = exp_table(), {}

    def want(x: np.ndarray, tag: np.ndarray) -> np.ndarray:
        value = tags.number(tag)
        heads = x.reshape(-1, 8)
        stream = past.setdefault((tags.layer(value), tags.slot(value)), [])
        stream.append(heads[2:].reshape(2, 1, 8))
        keys, values = np.stack(stream, axis=2)
        return ops.attention(heads[:2], keys, values, exp, 20, 10)

    attributes = {
        "Heads": 2, "KVHeads": 1, "HeadDim": 8, "Context": CONTEXT, "Slots": SLOTS, "Layers": SETS, "PT": pt, "OM": 2,
        "ScoreMult": 20, "ScoreShift": 10,
    }  # fmt: skip
    inputs = [(32, "INT8"), (BLOCK_TAG_BYTES, "UINT8")]
    return Case(name, "CausalAttention", attributes, inputs, [(16, "INT8")], [(exp, "UINT8")], want)


CASES = [
    norm("norm_2", 2), norm("norm_8", 8),
    requantise("requantise_1", "Requantise", 1), requantise("requantise_6", "Requantise", 6),
    requantise("requantise_one_bias", "Requantise", 2, one_bias=True),
    requantise("requantise_add", "RequantiseAdd", 3), requantise("logits", "Logits", 4),
    rope("rope_2", 2), rope("rope_8", 8), gate("gate_1", 1), gate("gate_4", 4),
    embedding("embedding_1", 1), embedding("embedding_4", 4), argmax("argmax_1", 1), argmax("argmax_8", 8),
    logits_tap("tap_1", 1), logits_tap("tap_4", 4), sampler("sampler_1", 1), sampler("sampler_4", 4),
    fork("fork_3", 4), matmul("matmul_sets", 4, 3, SETS), matmul("matmul_wide", 16, 8, SETS), matmul("matmul_plain", 8, 2, 0),
    matmul("matmul_one_set", 8, 12, 1), causal_attention("attention_1", 1), causal_attention("attention_4", 4),
]  # fmt: skip
NAMES = [case.name for case in CASES]


def graph(cases: list[Case]) -> Any:
    """All cases side by side; stream k into or out of a node is `<node>.in<k>` or `<node>.out<k>`."""
    g, ends = GraphBuilder(), ([], [])
    for case in cases:
        inward = [g.tensor(f"{case.name}.in{k}", *shape) for k, shape in enumerate(case.inputs)]
        outward = [g.tensor(f"{case.name}.out{k}", *shape) for k, shape in enumerate(case.outputs)]
        constants = [g.constant(f"{case.name}.c{k}", *constant) for k, constant in enumerate(case.constants)]
        order = [*inward, *constants]
        if case.op == "MVAU":  # FINN wants the weights second
            order = [inward[0], *constants, *inward[1:]]
        g.node(case.op, case.name, order, outward, **case.attributes)
        ends[0].extend(inward)
        ends[1].extend(outward)
    return g.model(*ends)


def vectors(case: Case) -> list[list[np.ndarray]]:
    """Random vectors for every stream, with the extremes of their types among them, and tags that make sense."""
    result = []
    for index in range(VECTORS):
        layer, slot, position = index % SETS, index // SETS % SLOTS, index // SETS // SLOTS
        plain = tags.tag(position, slot, tags.HEAD | tags.DUMP)
        vector = []
        for elements, dtype in case.inputs:
            if elements == BLOCK_TAG_BYTES and dtype == "UINT8":
                vector.append(tags.record(tags.block_tag(plain, layer), BLOCK_TAG_BYTES))
            elif elements == TAG_BYTES and dtype == "UINT8":
                vector.append(tags.record(plain, TAG_BYTES))
            elif elements == TOKEN_BYTES and dtype == "UINT8":
                vector.append(tags.record(tags.token(plain, index), TOKEN_BYTES))
            elif elements == REQUEST_BYTES and dtype == "UINT8":
                vector.append(RNG.integers(0, 256, REQUEST_BYTES))
            elif dtype == "UINT8":
                vector.append(np.array([layer if case.attributes.get("bodies") != 1 else 0]))
            else:
                limit = 1 << (int(dtype[3:]) - 1)
                ends = RNG.choice([-limit, limit - 1], elements)
                vector.append(ends if index == 0 else RNG.integers(-limit, limit, elements))
        result.append(vector)
    return result


STIMULI = {case.name: vectors(case) for case in CASES}


def answers(case: Case) -> list[tuple[np.ndarray, ...]]:
    """What the contract says, vector by vector."""
    results = [case.want(*vector) for vector in STIMULI[case.name]]
    return [result if isinstance(result, tuple) else (result,) for result in results]


EXPECTED = {case.name: answers(case) for case in CASES}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The graph of all cases after FINN's specialisation and code generation."""
    folder = tmp_path_factory.mktemp("finn")
    before = os.environ.get("FINN_BUILD_DIR")
    os.environ["FINN_BUILD_DIR"] = str(folder)
    settings.initialize_dummy_settings()
    model = graph(CASES)
    for node in model.graph.node:
        if node.op_type == "MVAU":
            getHWCustomOp(node).set_nodeattr("preferred_impl_style", "rtl")
    model = passes.generate(passes.specialise(model, PART), PART, 5.0)
    if before is not None:
        os.environ["FINN_BUILD_DIR"] = before
    return model


def node_named(model: Any, name: str) -> Any:
    return getHWCustomOp(next(node for node in model.graph.node if node.name == name))


@pytest.mark.parametrize("specialised", [False, True], ids=["abstract", "rtl"])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_python_execution_is_the_contract(case: Case, specialised: bool, generated: Any) -> None:
    model = generated if specialised else graph([case])
    node = node_named(model, case.name)
    attention.forget()
    context = {f"{case.name}.c{k}": constant for k, (constant, _) in enumerate(case.constants)}
    for vector, want in zip(STIMULI[case.name], EXPECTED[case.name], strict=True):
        context |= {f"{case.name}.in{k}": x.astype(np.float32)[None] for k, x in enumerate(vector)}
        node.execute_node(context, model.graph)
        for k, expected in enumerate(want):
            got = context[f"{case.name}.out{k}"]
            assert got.shape == (1, len(expected))
            assert np.array_equal(got[0], expected)


def test_forgetting_empties_the_caches() -> None:
    case = causal_attention("attention_1", 1)
    model = graph([case])
    node, vector = node_named(model, case.name), STIMULI[case.name][0]
    context = {"attention_1.c0": case.constants[0][0]}
    context |= {f"attention_1.in{k}": x.astype(np.float32)[None] for k, x in enumerate(vector)}
    attention.forget()
    node.execute_node(context, model.graph)
    first = node._cache()[0].copy()
    assert first.any()
    attention.forget()
    assert not node._cache()[0].any()


@pytest.fixture(scope="module")
def simulation(generated: Any, tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """All nodes in one module; port numbers follow the graph's inputs and outputs."""
    folder = tmp_path_factory.mktemp("top")
    _, files = sources.collect(generated, folder)
    (folder / sources.TOP).write_text(stitch(generated, {}, []))
    return Simulation(verilator.build("top", [folder / name for name in files]), folder)


def ports(generated: Any, case: Case, simulation: Simulation) -> tuple[list[str], list[str]]:
    """Names of the top's ports that belong to a case."""
    ins = [t.name for t in generated.graph.input if generated.get_initializer(t.name) is None]
    outs = [t.name for t in generated.graph.output]
    mine = [f"{case.name}.in{k}" for k in range(len(case.inputs))]
    return [f"in{ins.index(n)}" for n in mine], [
        f"out{outs.index(f'{case.name}.out{k}')}" for k in range(len(case.outputs))
    ]


def feed(sim: Simulation, names: list[str], op: Any, stimuli: list[list[np.ndarray]]) -> None:
    for k, port in enumerate(names):
        beats, lanes = op.get_folded_input_shape(k if k == 0 or op.onnx_node.op_type != "MVAU_rtl" else 2)[
            -2:
        ]
        data = np.stack([vector[k] for vector in stimuli]).reshape(-1, lanes)
        assert len(data) == beats * len(stimuli)
        index = k if k == 0 or op.onnx_node.op_type != "MVAU_rtl" else 2
        bits = op.get_input_datatype(index).bitwidth()
        sim.push(port, streams.pack(data.astype(np.int64), bits))


def receive(sim: Simulation, port: str, op: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, elements] and the cycle of each one's last beat."""
    rows, cycles = sim.pop(port)
    beats, lanes = op.get_folded_output_shape(k)[-2:]
    dtype = op.get_output_datatype(k)
    values = streams.unpack(rows, dtype.bitwidth(), lanes, bool(dtype.signed()))
    return values.reshape(-1, beats * lanes), cycles.astype(np.int64).reshape(-1, beats)[:, -1]


@pytest.mark.sim
@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["full rate", "stalls"])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_generated_hdl_is_the_contract(
    case: Case, stall: float, generated: Any, simulation: Simulation
) -> None:
    op, sim = node_named(generated, case.name), simulation
    ins, outs = ports(generated, case, sim)
    sim.reset()
    feed(sim, ins, op, STIMULI[case.name])
    goal = {port: VECTORS * op.get_folded_output_shape(k)[-2] for k, port in enumerate(outs)}
    stalls = dict.fromkeys([*ins, *outs], stall)
    assert sim.run(200_000, goal, stall_in=stalls, stall_out=stalls, seed=5)
    for k, port in enumerate(outs):
        got, last = receive(sim, port, op, k)
        assert np.array_equal(got, np.stack([want[k] for want in EXPECTED[case.name]]))
    if not stall:
        steady = np.diff(last)[len(last) // 2 :]
        assert abs(np.median(steady) - pace(case, op)) <= case.spare, (steady, pace(case, op))


def pace(case: Case, op: Any) -> int:
    """Estimated cycles between two vectors, for attention at the positions of the second half."""
    if case.op == "CausalAttention":
        return int(op.interval_at((VECTORS - 1) // SETS // SLOTS))
    return int(op.get_exp_cycles())
