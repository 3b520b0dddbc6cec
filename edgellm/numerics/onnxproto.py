"""The part of the ONNX file format that an integer model uses, read with NumPy alone.

Source: onnx.proto (field numbers). Damaged input raises ModelCorrupt; external tensor data, sparse tensors
and element types outside the contract raise ModelUnsupported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import ModelCorrupt, ModelUnsupported
from edgellm.numerics.protobuf import chunk, fields, integers, signed, text

DTYPES = {2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8"}  # TensorProto.DataType, integers only
IN_INT64_DATA = (7,)


@dataclass(slots=True)
class NodeProto:
    """A node: names of its tensors and its integer attributes (others are None)."""

    name: str = ""
    op: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, int | None] = field(default_factory=dict)


@dataclass(slots=True)
class ModelProto:
    """A model: metadata, nodes in order, initializers by name."""

    metadata: dict[str, str] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)


def parse(data: bytes) -> ModelProto:
    """Read an ONNX file's bytes."""
    model, graphs = ModelProto(), 0
    for number, value in fields(memoryview(data)):
        if number == 7:
            _graph(chunk(value), model)
            graphs += 1
        elif number == 14:
            key, entry = _entry(chunk(value))
            model.metadata[key] = entry
    if graphs != 1:
        raise ModelCorrupt(f"the file holds {graphs} graphs instead of 1")
    return model


def _graph(message: memoryview, model: ModelProto) -> None:
    for number, value in fields(message):
        if number == 1:
            model.nodes.append(_node(chunk(value)))
        elif number == 5:
            name, array = _tensor(chunk(value))
            if name in model.tensors:
                raise ModelCorrupt(f"tensor {name} is there twice")
            model.tensors[name] = array
        elif number == 15:
            raise ModelUnsupported("the file has sparse tensors; an integer model has none")


def _entry(message: memoryview) -> tuple[str, str]:
    found = {number: text(value) for number, value in fields(message)}
    return found.get(1, ""), found.get(2, "")


def _node(message: memoryview) -> NodeProto:
    node = NodeProto()
    for number, value in fields(message):
        if number == 1:
            node.inputs.append(text(value))
        elif number == 2:
            node.outputs.append(text(value))
        elif number == 3:
            node.name = text(value)
        elif number == 4:
            node.op = text(value)
        elif number == 5:
            name, setting = _attribute(chunk(value))
            node.attributes[name] = setting
        elif number == 7:
            node.domain = text(value)
    return node


def _attribute(message: memoryview) -> tuple[str, int | None]:
    name, setting = "", None
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 3:
            setting = signed(value)
    return name, setting


@dataclass(slots=True)
class _Tensor:
    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    raw: memoryview | None = None
    int32: list[int] = field(default_factory=list)
    int64: list[int] = field(default_factory=list)


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    tensor = _Tensor()
    for number, value in fields(message):
        if number == 1:
            tensor.dims += integers(value)
        elif number == 2:
            tensor.data_type = signed(value)
        elif number == 5:
            tensor.int32 += integers(value)
        elif number == 7:
            tensor.int64 += integers(value)
        elif number == 8:
            tensor.name = text(value)
        elif number == 9:
            tensor.raw = chunk(value)
        elif number == 13 or (number == 14 and value != 0):
            raise ModelUnsupported("tensor data lies outside the file; an integer model is one file")
    return tensor.name, _array(tensor)


def _array(tensor: _Tensor) -> NDArray[Any]:
    if tensor.data_type not in DTYPES:
        raise ModelUnsupported(
            f"tensor {tensor.name} has element type {tensor.data_type}, not an integer type"
        )
    flat = _flat(tensor, np.dtype(DTYPES[tensor.data_type]))
    if any(dim < 0 for dim in tensor.dims) or prod(tensor.dims) != flat.size:
        raise ModelCorrupt(f"tensor {tensor.name} has {flat.size} values, which do not fill {tensor.dims}")
    try:
        return flat.reshape(tensor.dims)
    except ValueError:  # too many or too large dimensions around a zero
        raise ModelCorrupt(f"tensor {tensor.name} has an impossible shape") from None


def _flat(tensor: _Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    if tensor.raw is not None:
        if len(tensor.raw) % dtype.itemsize:
            raise ModelCorrupt(f"tensor {tensor.name} ends inside a value")
        return np.frombuffer(tensor.raw, dtype).astype(dtype.newbyteorder("="))
    values = np.array(tensor.int64 if tensor.data_type in IN_INT64_DATA else tensor.int32, np.int64)
    flat = values.astype(dtype.newbyteorder("="))
    if not np.array_equal(flat, values):
        raise ModelCorrupt(f"tensor {tensor.name} holds a value that its type cannot")
    return flat
