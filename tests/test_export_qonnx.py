"""QONNX from a trained checkpoint: loads, runs, and gives the integer model back."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny_run import finished_run

from edgellm.errors import TrainingError
from edgellm.export.from_qonnx import from_qonnx
from edgellm.export.qonnx import SAMPLE_TOKENS, export_qonnx
from edgellm.train.distill import load_quantised

pytestmark = pytest.mark.train

KINDS = ("qkv", "attn_out", "gate_up", "down")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("qonnx") / "tiny.qonnx.onnx"
    export_qonnx(finished_run() / "checkpoint", place)
    return place


@pytest.fixture(scope="module")
def quantised():
    return load_quantised(finished_run() / "checkpoint")[0]


def test_every_weight_keeps_its_name_and_feeds_a_quantiser(path, quantised):
    graph = onnx.load(path).graph
    names = {f"blocks.{i}.{kind}.weight" for i in range(quantised.arch.layers) for kind in KINDS}
    names |= {"head.weight", "embedding.weight"}
    quantised_inputs = {node.input[0] for node in graph.node if node.op_type == "Quant"}
    assert names <= quantised_inputs
    assert names <= {tensor.name for tensor in graph.initializer}


def test_weights_are_those_of_the_checkpoint(path, quantised):
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    for name, value in quantised.named_parameters():
        assert np.array_equal(tensors[name], value.detach().numpy()), name


def test_settings_travel_in_the_metadata(path, quantised):
    (entry,) = [entry for entry in onnx.load(path).metadata_props if entry.key == "edgellm"]
    settings = json.loads(entry.value)
    assert set(settings) == {"arch", "numerics", "shifts", "scales", "widths"}
    assert settings["arch"]["rope_theta"] == 10_000.0
    assert settings["shifts"] == quantised.scheme.shifts
    assert len(settings["scales"]["v"]) == quantised.arch.layers


def test_qonnx_executes_it_like_the_trained_model(path, quantised):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path)).transform(InferShapes())
    ids = np.array([[1, 300, 280, 3]], dtype=np.int64)
    assert ids.shape[1] == SAMPLE_TOKENS
    weights = {tensor.name for tensor in model.graph.initializer}
    (name,) = [tensor.name for tensor in model.graph.input if tensor.name not in weights]
    (given,) = execute_onnx(model, {name: ids}).values()
    with torch.no_grad():
        expected = quantised(torch.tensor(ids)).numpy()
    assert np.abs(given - expected).max() <= 8 * quantised.scheme.logits


def test_the_integer_model_comes_back(path, quantised):
    whole = from_qonnx(path)
    for i, block in enumerate(quantised.blocks):
        weight = block.qkv.quant_weight()
        assert np.array_equal(
            whole.blocks[i].qkv.weight,
            (weight.value / weight.scale).round().detach().numpy().astype(np.int8).T,
        )
    assert whole.arch.width == quantised.arch.width


def test_a_float_checkpoint_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"not a quantised checkpoint"):
        export_qonnx(finished_run() / "student", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
