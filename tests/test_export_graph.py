"""The integer ONNX file: sound for the checker, exact in a plain ONNX Runtime, tensor by tensor."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from shapes import HOME, SMALL, TINY

from edgellm.errors import ModelUnsupported
from edgellm.export.graph import build_onnx, forms
from edgellm.numerics import layout
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import extreme_model, random_model

pytestmark = pytest.mark.cpu

TYPES = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.int16): TensorProto.INT16}
INTO_LINEAR = ("attn_norm", "attention", "ffn_norm", "glu", "final_norm")  # uint8 there, 128 more


def tapped(model):
    """Session on the file with every tensor between two nodes as an output, in plain ONNX Runtime."""
    proto = build_onnx(model)
    known = {output.name for output in proto.graph.output}
    cache = GoldenModel(model)
    names = {}
    cache.step(cache.new_cache(), 0, 0, lambda name, layer, x: names.update({tensor(name, layer): x.dtype}))
    for node in proto.graph.node:
        for name in node.output:
            if name not in known:
                kind = TensorProto.UINT8 if name.endswith(INTO_LINEAR) else TYPES[names[name]]
                proto.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def tensor(name, layer):
    return name if layer is None else f"block{layer}.{name}"


def compare(model, batches):
    """Feed (tokens, positions) of several slots; every tensor of every slot must be the golden model's."""
    session, golden = tapped(model), GoldenModel(model)
    outputs = [output.name for output in session.get_outputs()]
    slots = len(batches[0][0])
    a = model.arch
    caches = [golden.new_cache() for _ in range(slots)]
    empty = np.zeros((slots, a.kv_heads, a.context, a.head_dim), np.int8)
    state = {name: empty for layer in range(a.layers) for name in layout.cache_names(layer)[:2]}
    for tokens, positions in batches:
        feeds = {"token": np.array(tokens, np.int64), "position": np.array(positions, np.int64)}
        got = dict(zip(outputs, session.run(None, feeds | state), strict=True))
        for slot in range(slots):
            seen = {}
            golden.step(
                caches[slot],
                tokens[slot],
                positions[slot],
                lambda n, i, x, s=seen: s.update({tensor(n, i): x}),
            )
            seen["next_token"] = seen.pop("argmax")
            for name in [n for n in outputs if n in seen]:
                value, want = got[name][slot].reshape(-1), seen[name]
                if name.endswith(INTO_LINEAR):
                    want = (want.astype(np.int16) + 128).astype(np.uint8)
                assert value.dtype == want.dtype, name
                assert np.array_equal(value, want), (name, slot, positions)
        for layer in range(a.layers):
            keys, values, new_keys, new_values = layout.cache_names(layer)
            state |= {keys: got[new_keys], values: got[new_values]}
            for slot in range(slots):
                assert np.array_equal(got[new_keys][slot], caches[slot].keys[layer])
                assert np.array_equal(got[new_values][slot], caches[slot].values[layer])


def walk(model, steps, slots=1, seed=0):
    """Slots that started at different times: slot s is at position step + 3s."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(model.arch.vocab, size=(steps, slots))
    return [(row.tolist(), [step + 3 * s for s in range(slots)]) for step, row in enumerate(tokens)]


@pytest.mark.parametrize("name", SMALL)
def test_the_checker_accepts_it(name):
    proto = build_onnx(random_model(SMALL[name], 0))
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == 10
    assert {(o.domain, o.version) for o in proto.opset_import} == {("", 21), ("edgellm", 1)}
    for function in proto.functions:
        assert {node.domain for node in function.node} == {""}, function.name
        assert [(o.domain, o.version) for o in function.opset_import] == [("", 21)]


def test_interface_and_names():
    proto = build_onnx(random_model(TINY, 0))
    shapes = {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in [*proto.graph.input, *proto.graph.output]
    }
    cache = (TensorProto.INT8, ["B", 1, 24, 8])
    assert shapes == {
        "token": (TensorProto.INT64, ["R"]),
        "position": (TensorProto.INT64, ["R"]),
        "logits": (TensorProto.INT16, ["R", 40]),
        "next_token": (TensorProto.INT64, ["R"]),
    } | {name: cache for layer in range(2) for name in layout.cache_names(layer)}
    nodes = [node.name for node in proto.graph.node]
    assert nodes[:4] == ["embed", "block0.attn_norm", "block0.qkv", "block0.rope"]
    assert nodes[-3:] == ["final_norm", "head", "argmax"]
    assert len(nodes) == len(set(nodes)) == 4 + 9 * TINY.layers
    assert {node.domain for node in proto.graph.node} == {"edgellm"}


def test_attributes_and_metadata():
    model = random_model(TINY, 0)
    proto = build_onnx(replace(model, metadata={"origin": "test"}))
    attributes = {n.name: {a.name: a.i for a in n.attribute} for n in proto.graph.node}
    qkv, num = model.blocks[0].qkv, model.numerics
    assert attributes["block1.qkv"] == {"shift": qkv.shift, "weight_bits": 4}
    assert attributes["block1.attention"] == {
        "heads": 2,
        "kv_heads": 1,
        "score_mult": num.score_mult,
        "score_shift": num.score_shift,
    }
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    assert entries["origin"] == "test"
    header = json.loads(entries["edgellm"])
    assert header["numerics_version"] == 1
    assert header["arch"]["ffn"] == TINY.ffn
    assert header["linears"]["head"] == {"shift": model.head.shift, "weight_bits": 4}


def test_a_model_outside_the_contract_is_not_written():
    model = random_model(TINY, 0)
    with pytest.raises(ModelUnsupported, match=r"glu_shift is 16; the contract allows 1\.\.15"):
        build_onnx(replace(model, numerics=replace(model.numerics, glu_shift=16)))


def test_forms_follow_the_bounds():
    assert forms(random_model(TINY, 0, mult_bits=4)).narrow == {"Linear", "LinearResidual", "Head"}
    assert forms(random_model(TINY, 0, mult_bits=4)).fused_residual
    unfused = forms(random_model(TINY, 0, mult_bits=10))
    assert "LinearResidual" in unfused.narrow
    assert not unfused.fused_residual
    wide = forms(random_model(TINY, 0, mult_bits=16))
    assert wide.narrow == set()
    assert wide.integer == {"Linear", "LinearResidual", "Head"}
    assert forms(random_model(TINY, 0, weight_bits=8, mult_bits=16)).integer == set()
    model = random_model(HOME, 0)
    assert forms(model).norm_narrow
    assert not forms(replace(model, numerics=replace(model.numerics, norm_shift=17))).norm_narrow
    assert forms(model).rotation_table
    assert forms(random_model(replace(HOME, context=512), 0)).rotation_table  # 2^17 numbers
    assert not forms(random_model(replace(HOME, context=514), 0)).rotation_table


# (weight bits, multiplier bits): every form of every function is among them
WIDTHS = [(4, 4), (4, 10), (2, 6), (4, 16), (7, 16), (8, 6), (8, 16)]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", SMALL)
def test_every_tensor_equals_the_golden_model(name, widths):
    model = random_model(SMALL[name], seed=sum(widths), weight_bits=widths[0], mult_bits=widths[1])
    compare(model, walk(model, 12))


@pytest.mark.parametrize("norm_shift", [1, 10, 16, 17, 20])
def test_norm_shifts(norm_shift):
    model = random_model(TINY, 0)
    compare(replace(model, numerics=replace(model.numerics, norm_shift=norm_shift)), walk(model, 12))


@pytest.mark.parametrize(("mult", "shift"), [(1, 0), (1, 16), (65535, 0), (65535, 16), (577, 16), (3, 5)])
def test_score_scalings(mult, shift):
    model = random_model(TINY, 0)
    numerics = replace(model.numerics, score_mult=mult, score_shift=shift)
    compare(replace(model, numerics=numerics), walk(model, 20))


@pytest.mark.parametrize("variant", ["high", "low", "mixed"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_extremes(bits, variant):
    for seed in range(2):
        model = extreme_model(TINY, seed, variant, bits)
        compare(model, walk(model, 6))


def test_a_residual_of_zeros():
    model = random_model(TINY, 0)
    compare(replace(model, embedding=np.zeros_like(model.embedding)), walk(model, 3))


@pytest.mark.parametrize("widths", [(4, 4), (4, 16), (8, 16)])
def test_slots_at_different_positions(widths):
    model = random_model(SMALL["shared_kv"], seed=9, weight_bits=widths[0], mult_bits=widths[1])
    compare(model, walk(model, 20, slots=5))


def test_home_shape():
    model = random_model(HOME, seed=1)
    compare(model, walk(model, 30, slots=2))


def operators(model, rows, folder):
    """How often each operator is left when ONNX Runtime has loaded the file for `rows` tokens."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    for name in (layout.ROWS, layout.BATCH):
        options.add_free_dimension_override_by_name(name, rows)
    data = build_onnx(model).SerializeToString()
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def test_what_onnx_runtime_leaves_of_one_token(tmp_path):
    """The bodies are written so that these fusions and branches happen; nothing else would show that they do not."""
    model = random_model(HOME, 0, mult_bits=4)
    one, two = (operators(model, rows, tmp_path) for rows in (1, 2))
    layers = model.arch.layers
    assert one["If"] == two["If"] == 0
    assert one["MatMulIntegerToFloat"] == 3 * layers  # qkv, attn_out, down; the others have many outputs
    assert one["SequenceAt"] == 1
    assert one["Concat"] == layers + 1  # rope, and the caches' index once
    assert two["Add"] - one["Add"] >= layers  # masks
    assert one.total() < 80 * layers
