"""Every node of an integer ONNX file has a hardware block, or the message says which one has not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper
from shapes import TINY

from edgellm.compiler import mapping
from edgellm.errors import ModelCorrupt, ModelNotFound, UnmappableNode
from edgellm.export.graph import build_onnx
from edgellm.numerics import layout
from edgellm.numerics.random import random_model

pytestmark = pytest.mark.fpga


def write(path: Path, *extra: onnx.NodeProto) -> Path:
    proto = build_onnx(random_model(TINY, 1))
    proto.graph.node.extend(extra)
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_sound_model_maps(tmp_path: Path) -> None:
    mapping.check(write(tmp_path / "model.onnx"))


def test_every_operation_of_the_contract_is_mapped(tmp_path: Path) -> None:
    nodes = build_onnx(random_model(TINY, 1)).graph.node
    assert {node.op_type for node in nodes} == set(mapping.HARDWARE)


def test_foreign_operation(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", helper.make_node("Gelu", ["logits"], ["x"], name="late_gelu"))
    with pytest.raises(UnmappableNode) as error:
        mapping.check(path)
    assert str(error.value) == (
        "node late_gelu (Gelu): operations of domain ai.onnx have no hardware block; export with `edgellm export`"
    )


def test_unknown_operation_of_the_own_domain(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", helper.make_node("Conv", ["logits"], ["x"], domain=layout.DOMAIN))
    with pytest.raises(
        UnmappableNode, match=r"node x \(Conv\): no hardware block computes it; there are blocks for ArgMax"
    ):
        mapping.check(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="cannot be read"):
        mapping.check(tmp_path / "model.onnx")


def test_damaged_file(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelCorrupt, match="damaged ONNX file"):
        mapping.check(path)
