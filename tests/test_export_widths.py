"""Every combination of widths: the file holds it, and ONNX Runtime computes what the golden model does."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import SMALL, TINY
from test_export_graph import compare, walk
from test_numerics_onnxfile import assert_equal

from edgellm import resources
from edgellm.errors import ModelCorrupt
from edgellm.export.graph import build_onnx, numerics_version
from edgellm.numerics import onnxfile
from edgellm.numerics.model import Widths
from edgellm.numerics.random import extreme_model, random_model

pytestmark = pytest.mark.cpu

WEIGHT_BITS = (2, 3, 4, 8)
KINDS = ("qkv", "attn_out", "gate_up", "down", "head")
FLOWS = [
    Widths(activation, kv, glu=glu)
    for activation, kv, glu in ((4, 4, 4), (4, 8, 4), (8, 4, 8), (4, 8, 8), (8, 8, 4))
]


def mixed(seed):
    """A width drawn for every kind and layer."""
    rng = np.random.default_rng(seed)
    drawn = {}
    return lambda kind, layer: drawn.setdefault((kind, layer), int(rng.choice(WEIGHT_BITS)))


@pytest.mark.parametrize("bits", WEIGHT_BITS)
@pytest.mark.parametrize("widths", FLOWS, ids=str)
def test_every_tensor_equals_the_golden_model(widths, bits):
    arch = list(SMALL.values())[(FLOWS.index(widths) + bits) % len(SMALL)]
    model = random_model(arch, seed=bits, weight_bits=bits, widths=widths)
    compare(model, walk(model, 10))


@settings(max_examples=8)
@given(
    st.sampled_from(sorted(SMALL)),
    st.sampled_from(FLOWS),
    st.integers(2, 8),
    st.integers(4, 16),
    st.integers(0, 999),
)
def test_any_mix_of_widths(name, widths, embedding, mult_bits, seed):
    widths = replace(widths, embedding=embedding)
    model = random_model(SMALL[name], seed, mixed(seed), mult_bits, widths)
    compare(model, walk(model, 6, slots=2, seed=seed))
    assert_equal(model, onnxfile.loads(build_onnx(model).SerializeToString(), "x"))


@pytest.mark.parametrize("variant", ["high", "low", "mixed"])
@pytest.mark.parametrize("widths", FLOWS, ids=str)
def test_extremes(widths, variant):
    model = extreme_model(TINY, 2, variant, 4, widths)
    compare(model, walk(model, 5))


@pytest.mark.parametrize("norm_shift", [16, 17, 24])
def test_norm_shifts_of_narrow_activations(norm_shift):
    model = random_model(TINY, 0, widths=Widths(activation=4))
    compare(replace(model, numerics=replace(model.numerics, norm_shift=norm_shift)), walk(model, 8))


def entry(proto):
    return next(p for p in proto.metadata_props if p.key == "edgellm")


def test_what_the_header_holds():
    model = random_model(TINY, 0, lambda kind, layer: 3 + layer, widths=Widths(4, 8, 5, 8))
    proto = build_onnx(model)
    header = json.loads(entry(proto).value)
    assert header["numerics_version"] == numerics_version(model) == 2
    assert header["widths"] == {"activation": 4, "kv": 8, "embedding": 5, "glu": 8}
    assert header["linears"]["qkv"]["weight_bits"] == [3, 4]
    assert header["linears"]["head"]["weight_bits"] == 3
    attributes = {n.name: {a.name: a.i for a in n.attribute} for n in proto.graph.node}
    assert attributes["block1.down"]["weight_bits"] == 4


@pytest.mark.parametrize("bits", [[4], "4", [4, 4.0], None])
def test_a_wrong_list_of_widths(bits):
    proto = build_onnx(random_model(TINY, 0, widths=Widths(kv=4)))
    header = json.loads(entry(proto).value)
    header["linears"]["qkv"]["weight_bits"] = bits
    entry(proto).value = json.dumps(header)
    with pytest.raises(
        ModelCorrupt, match=r"field qkv\.weight_bits is not an integer or a list of 2: export"
    ):
        onnxfile.loads(proto.SerializeToString(), "x")


def test_a_file_of_version_2_must_tell_its_widths():
    proto = build_onnx(random_model(TINY, 0, widths=Widths(kv=4)))
    header = json.loads(entry(proto).value)
    del header["widths"]["kv"]
    entry(proto).value = json.dumps(header)
    with pytest.raises(ModelCorrupt, match=r"metadata field widths\.kv is not an integer"):
        onnxfile.loads(proto.SerializeToString(), "x")


def test_home_260k_is_written_as_it_was_before_there_were_widths():
    path = resources.models() / "home-260k" / "model.onnx"
    rebuilt, stored = build_onnx(onnxfile.load(path)), onnx.load(str(path))
    assert rebuilt.graph == stored.graph
    assert rebuilt.functions == stored.functions
    assert json.loads(entry(rebuilt).value) == json.loads(entry(stored).value)
