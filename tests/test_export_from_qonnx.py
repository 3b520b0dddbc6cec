"""QONNX to the integer model, on files written by hand."""

import json
from dataclasses import asdict, replace
from math import sqrt

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from shapes import SHARED_KV, TINY

from edgellm.errors import ExportError, ModelUnsupported
from edgellm.export.from_qonnx import from_qonnx
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import random_model
from edgellm.numerics.tables import rope_tables, silu_table

pytestmark = pytest.mark.cpu

QUANT = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}


def scales(model):
    """Activation scales as training would choose them; those that the shifts fix follow from the shifts."""
    layers = model.arch.layers
    return {
        "norm": sqrt(model.arch.width) * 2.0 ** (model.numerics.norm_shift - 24),
        "q": 0.031,
        "k": 0.027,
        "v": [0.02 + 0.003 * i for i in range(layers)],
        "gate": 1 / 16,
        "silu": 1 / 20,
        "up": [0.05 + 0.001 * i for i in range(layers)],
        "embedding": 0.011,
        "residual": 0.011 / 2.0**model.numerics.embed_shift,
        "logits": 0.004,
    }


def settings(model):
    first = model.blocks[0]
    kinds = {kind: getattr(first, kind).shift for kind in ("qkv", "attn_out", "gate_up", "down")}
    return {
        "arch": asdict(model.arch) | {"rope_theta": 5000.0},
        "numerics": asdict(model.numerics),
        "shifts": kinds | {"head": model.head.shift},
        "scales": scales(model),
    }


def grids(model):
    """(QONNX name, layer, input scale, output scale per channel) of every linear layer."""
    a, s = model.arch, scales(model)
    q, kv = a.attention_width, a.kv_heads * a.head_dim
    for i, block in enumerate(model.blocks):
        qkv = np.array([s["q"]] * q + [s["k"]] * kv + [s["v"][i]] * kv)
        gate_up = np.array([s["gate"]] * a.ffn + [s["up"][i]] * a.ffn)
        residual = np.full(a.width, s["residual"])
        glu = s["silu"] * s["up"][i] * 2.0**model.numerics.glu_shift
        yield f"blocks.{i}.qkv.weight", block.qkv, s["norm"], qkv
        yield f"blocks.{i}.attn_out.weight", block.attn_out, s["v"][i], residual
        yield f"blocks.{i}.gate_up.weight", block.gate_up, s["norm"], gate_up
        yield f"blocks.{i}.down.weight", block.down, glu, residual
    yield "head.weight", model.head, s["norm"], np.full(a.vocab, s["logits"])


class File:
    """A QONNX file in the making."""

    def __init__(self, model, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.tensors, self.settings = [], [], settings(model)
        for name, linear, scale_in, scale_out in grids(model):
            scale = linear.mult * 2.0**-linear.shift * scale_out / scale_in
            self.add(name, linear.weight.T, scale[:, None], linear.weight_bits)
        self.add("embedding.weight", model.embedding, np.array(scales(model)["embedding"]), 8)

    def add(self, name, integers, scale, bits):
        """Float weights that lie anywhere in the cell of their integer."""
        jitter = self.rng.uniform(-0.45, 0.45, integers.shape)
        inputs = [
            ("", (integers + jitter) * scale),
            (".scale", scale),
            (".zero", np.array(0.0)),
            (".bits", np.array(float(bits))),
        ]
        self.tensors += [numpy_helper.from_array(a.astype(np.float32), name + suffix) for suffix, a in inputs]
        names = [name + suffix for suffix, _ in inputs]
        self.nodes.append(
            helper.make_node("Quant", names, [name + ".q"], domain="qonnx.custom_op.general", **QUANT)
        )

    def write(self, path):
        output = helper.make_tensor_value_info("head.weight.q", TensorProto.FLOAT, None)
        model = helper.make_model(helper.make_graph(self.nodes, "g", [], [output], self.tensors))
        helper.set_model_props(model, {"edgellm": json.dumps(self.settings)})
        path.write_bytes(model.SerializeToString())
        return path


MODEL = random_model(TINY, seed=6)


@pytest.fixture
def file():
    return File(MODEL)


def refused(file, tmp_path, error, message):
    path = file.write(tmp_path / "m.onnx")
    with pytest.raises(error) as caught:
        from_qonnx(path)
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize("arch", [TINY, SHARED_KV])
@pytest.mark.parametrize(("bits", "mult_bits"), [(4, 8), (2, 8), (8, 8)])
def test_weights_and_multipliers_come_back(tmp_path, arch, bits, mult_bits):
    model = random_model(arch, seed=bits, weight_bits=bits, mult_bits=mult_bits)
    got = from_qonnx(File(model).write(tmp_path / "m.onnx"))
    assert (got.arch, got.numerics) == (model.arch, model.numerics)
    assert np.array_equal(got.embedding, model.embedding)
    for mine, theirs in zip([*got.blocks, got], [*model.blocks, model], strict=True):
        kinds = ("head",) if mine is got else ("qkv", "attn_out", "gate_up", "down")
        for kind in kinds:
            ours, source = getattr(mine, kind), getattr(theirs, kind)
            assert np.array_equal(ours.weight, source.weight)
            assert np.array_equal(ours.mult, source.mult)
            assert (ours.shift, ours.weight_bits) == (source.shift, source.weight_bits)
            assert (ours.bias == 1 << (source.shift - 1)).all()


def test_tables_follow_the_settings(tmp_path, file):
    got = from_qonnx(file.write(tmp_path / "m.onnx"))
    assert np.array_equal(got.silu_table, silu_table(1 / 16, 1 / 20))
    cos, sin = rope_tables(TINY.context, TINY.head_dim, 5000.0)
    assert np.array_equal(got.rope_cos, cos)
    assert np.array_equal(got.rope_sin, sin)
    assert got.exp_table[0] == 255


def test_the_step_of_the_logits_is_kept(tmp_path, file):
    assert from_qonnx(file.write(tmp_path / "m.onnx")).metadata == {"edgellm.logit_step": "0.004"}


def test_the_result_runs(tmp_path, file):
    got = from_qonnx(file.write(tmp_path / "m.onnx"))
    assert len(GoldenModel(got).generate([1, 2], 5).tokens) == 5


def test_constants_may_be_nodes(tmp_path, file):
    name = "blocks.0.qkv.weight.scale"
    tensor = next(t for t in file.tensors if t.name == name)
    file.tensors.remove(tensor)
    file.nodes.insert(0, helper.make_node("Constant", [], [name], value=tensor))
    got = from_qonnx(file.write(tmp_path / "m.onnx"))
    assert np.array_equal(got.blocks[0].qkv.mult, MODEL.blocks[0].qkv.mult)


def scaled(file, name, channel, factor):
    for index, tensor in enumerate(file.tensors):
        if tensor.name == f"{name}.scale":
            values = numpy_helper.to_array(tensor).copy()
            values[channel] *= factor
            file.tensors[index] = numpy_helper.from_array(values, tensor.name)


def test_a_scale_off_the_grid(tmp_path, file):
    mult = int(MODEL.blocks[1].down.mult[3])
    scaled(file, "blocks.1.down.weight", 3, (mult + 0.4) / mult)
    refused(
        file,
        tmp_path,
        ExportError,
        f"blocks.1.down.weight channel 3: multiplier {mult + 0.4:.6g} is not an integer; "
        "the weight scale must be m * 2^-shift * output scale / input scale",
    )


def test_float32_noise_is_not_off_the_grid(tmp_path, file):
    scaled(file, "blocks.1.down.weight", 3, 1 + 3e-6)
    from_qonnx(file.write(tmp_path / "m.onnx"))


def test_a_multiplier_of_zero_is_outside_the_contract(tmp_path, file):
    scaled(file, "blocks.0.qkv.weight", 2, 1e-9)
    refused(file, tmp_path, ModelUnsupported, "block0.qkv.mult[2] is 0; the contract allows 1..65535")


@pytest.mark.parametrize(
    ("group", "name", "value", "message"),
    [
        ("scales", "norm", 0.5, "scale norm is 0.5; the shifts make it 0.03125"),
        ("scales", "residual", 0.1, "scale residual is 0.1; the shifts make it 0.0006875"),
        ("scales", "q", -1, "{path}: setting scales.q is -1; it must be a positive number"),
        ("scales", "q", [0.1, 0.1], "{path}: setting scales.q is [0.1, 0.1]; it must be a positive number"),
        ("scales", "v", [0.02], "{path}: setting scales.v has 1 layers; 2 needed"),
        ("shifts", "qkv", 9.0, "{path}: setting shifts.qkv is 9.0; it must be an integer"),
        ("arch", "rope_theta", "x", "{path}: setting arch.rope_theta is 'x'; it must be a positive number"),
    ],
)
def test_wrong_settings(tmp_path, file, group, name, value, message):
    file.settings[group][name] = value
    path = file.write(tmp_path / "m.onnx")
    with pytest.raises(ExportError) as caught:
        from_qonnx(path)
    assert str(caught.value) == message.format(path=path)


def test_missing_settings(tmp_path, file):
    del file.settings["scales"]["gate"]
    refused(file, tmp_path, ExportError, "{path}: metadata has no setting scales.gate")
    file.settings = None
    refused(file, tmp_path, ExportError, "{path}: metadata has no setting arch.vocab")


def test_a_missing_weight(tmp_path, file):
    file.nodes = [node for node in file.nodes if node.input[0] != "head.weight"]
    refused(file, tmp_path, ExportError, "{path}: no weight head.weight that feeds a Quant node")


def test_a_scale_that_is_computed(tmp_path, file):
    file.tensors = [t for t in file.tensors if t.name != "head.weight.scale"]
    refused(
        file,
        tmp_path,
        ExportError,
        "{path}: weight head.weight is quantised by head.weight.scale, which is not a constant",
    )


def test_unsigned_weights(tmp_path, file):
    node = next(n for n in file.nodes if n.input[0] == "head.weight")
    next(a for a in node.attribute if a.name == "signed").i = 0
    refused(
        file, tmp_path, ExportError, "{path}: weight head.weight must be quantised signed, with zero point 0"
    )


def test_weights_of_another_shape(tmp_path):
    file = File(MODEL)
    file.settings["arch"]["ffn"] += 1
    refused(
        file,
        tmp_path,
        ExportError,
        "blocks.0.gate_up.weight has 48 output channels; the architecture needs 50",
    )


def test_weights_that_are_not_narrow_leave_the_contract(tmp_path, file):
    node = next(n for n in file.nodes if n.input[0] == "blocks.0.qkv.weight")
    next(a for a in node.attribute if a.name == "narrow").i = 0
    index = next(i for i, t in enumerate(file.tensors) if t.name == "blocks.0.qkv.weight")
    values = numpy_helper.to_array(file.tensors[index]).copy()
    values[4, 0] = -100
    file.tensors[index] = numpy_helper.from_array(values, "blocks.0.qkv.weight")
    refused(file, tmp_path, ModelUnsupported, "block0.qkv.weight[0, 4] is -8; the contract allows -7..7")


def test_not_a_qonnx_file(tmp_path, file):
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x0a nonsense")
    with pytest.raises(ExportError, match=r"bad\.onnx: cannot be read as ONNX"):
        from_qonnx(tmp_path / "bad.onnx")
    empty = onnx.ModelProto()
    (tmp_path / "empty.onnx").write_bytes(empty.SerializeToString())
    with pytest.raises(ExportError, match=r"empty\.onnx: no metadata entry 'edgellm' in JSON"):
        from_qonnx(tmp_path / "empty.onnx")


def test_an_impossible_architecture(tmp_path):
    file = File(replace(MODEL))
    file.settings["arch"]["heads"] = 5000
    refused(file, tmp_path, ModelUnsupported, "heads is 5000; the contract allows 1..1024")
