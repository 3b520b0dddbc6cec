"""Reading the integer ONNX file with NumPy alone: the same as the onnx package, and safe on damaged files."""

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from shapes import SMALL, TINY

from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.export.integer import build_onnx
from edgellm.numerics import onnxfile, onnxproto
from edgellm.numerics.random import random_model

pytestmark = pytest.mark.cpu

MODEL = replace(random_model(TINY, seed=4), metadata={"note": "für Tests"})
DATA = build_onnx(MODEL).SerializeToString()


def proto():
    return onnx.load_from_string(DATA)


def refuse(file, error, message):
    with pytest.raises(error) as caught:
        onnxfile.loads(file.SerializeToString(), "m.onnx")
    assert str(caught.value) == message


def assert_equal(one, other):
    assert (one.arch, one.numerics, one.metadata) == (other.arch, other.numerics, other.metadata)
    for name in ("embedding", "exp_table", "silu_table", "rope_cos", "rope_sin"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    pairs = [(one.head, other.head)]
    for a, b in zip(one.blocks, other.blocks, strict=True):
        pairs += [(getattr(a, kind), getattr(b, kind)) for kind in ("qkv", "attn_out", "gate_up", "down")]
    for a, b in pairs:
        assert (a.shift, a.weight_bits) == (b.shift, b.weight_bits)
        for name in ("weight", "mult", "bias"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
            assert getattr(b, name).dtype == (np.int8 if name == "weight" else np.int32)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_round_trip(tmp_path, name, bits):
    model = random_model(SMALL[name], seed=bits, weight_bits=bits)
    path = tmp_path / "model.onnx"
    path.write_bytes(build_onnx(model).SerializeToString())
    assert_equal(model, onnxfile.load(path))


def test_metadata_other_than_our_own_is_kept():
    assert onnxfile.loads(DATA, "x").metadata == {"note": "für Tests"}


def test_parse_agrees_with_the_onnx_package():
    ours, theirs = onnxproto.parse(DATA), proto()
    assert ours.metadata == {entry.key: entry.value for entry in theirs.metadata_props}
    assert list(ours.tensors) == [tensor.name for tensor in theirs.graph.initializer]
    for tensor in theirs.graph.initializer:
        want = numpy_helper.to_array(tensor)
        assert ours.tensors[tensor.name].dtype == want.dtype
        assert np.array_equal(ours.tensors[tensor.name], want)
    for mine, node in zip(ours.nodes, theirs.graph.node, strict=True):
        assert (mine.name, mine.op, mine.domain) == (node.name, node.op_type, node.domain)
        assert (mine.inputs, mine.outputs) == (list(node.input), list(node.output))
        assert mine.attributes == {a.name: a.i for a in node.attribute}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64])
def test_values_outside_raw_data(dtype):
    array = np.array([[0, 1, 127], [np.iinfo(dtype).min, np.iinfo(dtype).max, 5]], dtype)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = helper.make_tensor("t", kind, array.shape, array.flatten().tolist())
    assert not tensor.raw_data
    file = onnx.ModelProto(graph=helper.make_graph([], "g", [], [], [tensor]))
    got = onnxproto.parse(file.SerializeToString()).tensors["t"]
    assert got.dtype == dtype
    assert np.array_equal(got, array)


def test_missing_file(tmp_path):
    with pytest.raises(ModelNotFound, match=re.escape(f"{tmp_path}/no.onnx: cannot be read: No such file")):
        onnxfile.load(tmp_path / "no.onnx")


def test_empty_file():
    with pytest.raises(ModelCorrupt) as caught:
        onnxfile.loads(b"", "m.onnx")
    again = "export or download it again"
    assert str(caught.value) == f"m.onnx: damaged ONNX file: the file holds 0 graphs instead of 1: {again}"


def test_truncated_file_says_where():
    with pytest.raises(
        ModelCorrupt, match=r"m\.onnx: damaged ONNX file: .* bytes and only .* are left: export"
    ):
        onnxfile.loads(DATA[: len(DATA) // 2], "m.onnx")


def test_some_other_onnx_model():
    file = proto()
    file.ClearField("metadata_props")
    refuse(file, ModelUnsupported, "m.onnx: not an edgellm integer model: no metadata entry 'edgellm'")


def header(change):
    file = proto()
    entry = next(e for e in file.metadata_props if e.key == "edgellm")
    content = json.loads(entry.value)
    change(content)
    entry.value = json.dumps(content)
    return file


def test_a_newer_contract():
    refuse(
        header(lambda h: h.update(numerics_version=3)),
        ModelUnsupported,
        "m.onnx: numerics_version is 3; this edgellm reads 1 and 2: update edgellm",
    )


def test_header_fields_are_checked():
    damaged, again = "m.onnx: damaged ONNX file:", "export or download it again"
    refuse(
        header(lambda h: h["arch"].update(layers="2")),
        ModelCorrupt,
        f"{damaged} metadata field arch.layers is not an integer: {again}",
    )
    refuse(
        header(lambda h: h.pop("numerics")),
        ModelCorrupt,
        f"{damaged} metadata field numerics is not an object: {again}",
    )
    file = proto()
    next(e for e in file.metadata_props if e.key == "edgellm").value = "{"
    refuse(file, ModelCorrupt, f"{damaged} metadata entry 'edgellm' is not valid JSON: {again}")


def test_a_huge_layer_count_is_refused_before_it_costs_anything():
    refuse(
        header(lambda h: h["arch"].update(layers=10**12)),
        ModelUnsupported,
        f"m.onnx: layers is {10**12}; the contract allows 1..255",
    )


def test_a_graph_that_differs_from_the_architecture():
    file = proto()
    del file.graph.node[3]
    refuse(file, ModelUnsupported, "m.onnx: the graph has 21 nodes; this architecture has 22")
    file = proto()
    file.graph.node[2].input[0] = "embed"
    refuse(
        file, ModelUnsupported, "m.onnx: node 'block0.qkv' is not the Linear node 'block0.qkv' expected there"
    )
    file = proto()
    file.graph.node[2].domain = "other"
    refuse(
        file, ModelUnsupported, "m.onnx: node 'block0.qkv' is not the Linear node 'block0.qkv' expected there"
    )


def test_an_attribute_that_differs_from_the_metadata():
    file = proto()
    shift = next(a for a in file.graph.node[1].attribute if a.name == "shift")
    was, shift.i = shift.i, 5
    refuse(
        file,
        ModelUnsupported,
        f"m.onnx: node block0.attn_norm has attributes {{'shift': 5}}; the metadata says {{'shift': {was}}}",
    )


def tensor(file, name):
    return next(t for t in file.graph.initializer if t.name == name)


def test_tensors_are_checked():
    damaged, again = "m.onnx: damaged ONNX file:", "export or download it again"
    file = proto()
    file.graph.initializer.remove(tensor(file, "head.bias"))
    refuse(file, ModelUnsupported, "m.onnx: tensor head.bias is missing")
    file = proto()
    file.graph.initializer.append(tensor(file, "exp_table"))
    refuse(file, ModelCorrupt, f"{damaged} tensor exp_table is there twice: {again}")
    file = proto()
    tensor(file, "exp_table").raw_data = bytes(255)
    refuse(file, ModelCorrupt, f"{damaged} tensor exp_table has 255 values, which do not fill [256]: {again}")
    file = proto()
    tensor(file, "head.bias").raw_data = bytes(161)
    refuse(file, ModelCorrupt, f"{damaged} tensor head.bias ends inside a value: {again}")
    file = proto()
    tensor(file, "exp_table").dims[:] = [-1, -256]
    refuse(
        file,
        ModelCorrupt,
        f"{damaged} tensor exp_table has 256 values, which do not fill [-1, -256]: {again}",
    )
    file = proto()
    zero = tensor(file, "exp_table")
    zero.dims[:], zero.raw_data = [0, 2**62, 2**62], b""
    refuse(file, ModelCorrupt, f"{damaged} tensor exp_table has an impossible shape: {again}")
    file = proto()
    tensor(file, "exp_table").data_type = onnx.TensorProto.FLOAT
    refuse(file, ModelUnsupported, "m.onnx: tensor exp_table has element type 1, not an integer type")
    file = proto()
    tensor(file, "exp_table").data_location = onnx.TensorProto.EXTERNAL
    refuse(file, ModelUnsupported, "m.onnx: tensor data lies outside the file; an integer model is one file")
    file = proto()
    file.graph.sparse_initializer.add()
    refuse(file, ModelUnsupported, "m.onnx: the file has sparse tensors; an integer model has none")
    file = proto()
    bad = tensor(file, "exp_table")
    bad.ClearField("raw_data")
    bad.int32_data[:] = [300] * 256
    refuse(file, ModelCorrupt, f"{damaged} tensor exp_table holds a value that its type cannot: {again}")


def test_values_are_checked():
    file = proto()
    tensor(file, "exp_table").raw_data = bytes(256)
    refuse(file, ModelUnsupported, "m.onnx: exp_table[0] is 0; it must be 255")


# a small file whose every byte matters, so that random damage hits the structure and not only weights
GRAPH = proto()
del GRAPH.graph.initializer[:]
del GRAPH.functions[:]
SKELETON = GRAPH.SerializeToString()


def survives(data):
    try:
        onnxfile.loads(data, "m.onnx")
    except (ModelCorrupt, ModelUnsupported):
        return


@settings(max_examples=300)
@given(st.integers(0, len(DATA) - 1))
def test_a_truncated_file_raises_a_model_error(length):
    with pytest.raises((ModelCorrupt, ModelUnsupported)):
        onnxfile.loads(DATA[:length], "m.onnx")


@settings(max_examples=600)
@given(st.lists(st.tuples(st.integers(0, len(SKELETON) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_raise_nothing_but_model_errors(flips):
    data = bytearray(SKELETON)
    for at, value in flips:
        data[at] = value
    survives(bytes(data))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), min_size=1, max_size=40))
def test_flipped_bytes_anywhere(flips):
    data = bytearray(DATA)
    for at, value in flips:
        data[at] = value
    survives(bytes(data))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes(data):
    with pytest.raises((ModelCorrupt, ModelUnsupported)):
        onnxfile.loads(data, "m.onnx")


def test_deeply_nested_json_is_corrupt():
    file = proto()
    next(e for e in file.metadata_props if e.key == "edgellm").value = "[" * 100_000
    with pytest.raises(ModelCorrupt, match="metadata entry 'edgellm' is not valid JSON"):
        onnxfile.loads(file.SerializeToString(), "m.onnx")
