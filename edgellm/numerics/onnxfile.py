"""Read the integer ONNX file into an `IntegerModel`, with NumPy alone.

The file is what `edgellm.export.graph` writes; its nodes are those of `edgellm.numerics.layout`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.numerics import layout, onnxproto
from edgellm.numerics.layout import Scaling
from edgellm.numerics.model import Architecture, Block, IntegerModel, Linear, Numerics, Widths
from edgellm.numerics.onnxproto import ModelProto
from edgellm.numerics.validate import check_architecture, validate

Record = TypeVar("Record", Architecture, Numerics, Widths)


def load(path: str | Path) -> IntegerModel:
    """Integer model from an ONNX file.

    Raises ModelNotFound, ModelCorrupt (damaged), ModelUnsupported (sound, but not an integer model of this
    version of the contract).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelNotFound(f"{path}: cannot be read: {error.strerror}") from None
    return loads(data, str(path))


def loads(data: bytes, name: str) -> IntegerModel:
    """The same from the file's bytes; `name` is for messages."""
    try:
        return _model(onnxproto.parse(data))
    except ModelCorrupt as error:
        raise ModelCorrupt(f"{name}: damaged ONNX file: {error}: export or download it again") from None
    except ModelUnsupported as error:
        raise ModelUnsupported(f"{name}: {error}") from None


def _model(file: ModelProto) -> IntegerModel:
    header = _header(file)
    arch = _record(header, "arch", Architecture)
    check_architecture(arch)
    numerics = _record(header, "numerics", Numerics)
    widths = Widths() if header["numerics_version"] == 1 else _record(header, "widths", Widths)
    kinds = _object(header, "linears")
    scaling = {name: _scaling(kinds, name, arch.layers) for name in layout.LINEARS}
    _check_nodes(file, layout.nodes(arch, numerics, scaling))

    def linear(kind: str, name: str, layer: int) -> Linear:
        weight, mult, bias = (_tensor(file, tensor) for tensor in layout.linear_names(name))
        return Linear(weight, mult, bias, scaling[kind].shift, scaling[kind].weight_bits[layer])

    def block(index: int) -> Block:
        return Block(*(linear(kind, f"block{index}.{kind}", index) for kind in layout.LINEARS[:-1]))

    model = IntegerModel(
        arch=arch,
        numerics=numerics,
        embedding=_tensor(file, "embedding"),
        blocks=tuple(block(index) for index in range(arch.layers)),
        head=linear("head", "head", 0),
        exp_table=_tensor(file, "exp_table"),
        silu_table=_tensor(file, "silu_table"),
        rope_cos=_tensor(file, "rope_cos"),
        rope_sin=_tensor(file, "rope_sin"),
        widths=widths,
        metadata={key: value for key, value in file.metadata.items() if key != layout.METADATA_KEY},
    )
    validate(model)
    return model


def _header(file: ModelProto) -> dict[str, Any]:
    if layout.METADATA_KEY not in file.metadata:
        raise ModelUnsupported("not an edgellm integer model: no metadata entry 'edgellm'")
    try:
        header = json.loads(file.metadata[layout.METADATA_KEY])
    except (ValueError, RecursionError):
        raise ModelCorrupt("metadata entry 'edgellm' is not valid JSON") from None
    version = header.get("numerics_version") if isinstance(header, dict) else None
    if version not in layout.NUMERICS_VERSIONS:
        known = " and ".join(map(str, layout.NUMERICS_VERSIONS))
        raise ModelUnsupported(f"numerics_version is {version}; this edgellm reads {known}: update edgellm")
    return dict(header)


def _object(header: dict[str, Any], key: str) -> dict[str, Any]:
    value = header.get(key)
    if not isinstance(value, dict):
        raise ModelCorrupt(f"metadata field {key} is not an object")
    return value


def _record(header: dict[str, Any], key: str, kind: type[Record]) -> Record:
    values, names = _object(header, key), [field.name for field in dataclasses.fields(kind)]
    for name in names:
        if type(values.get(name)) is not int:
            raise ModelCorrupt(f"metadata field {key}.{name} is not an integer")
    return kind(**{name: values[name] for name in names})


def _scaling(kinds: dict[str, Any], kind: str, layers: int) -> Scaling:
    """Shift and weight widths of a kind: one width for all layers, or a list with one each."""
    entry, count = _object(kinds, kind), 1 if kind == "head" else layers
    shift, bits = entry.get("shift"), entry.get("weight_bits")
    if type(shift) is not int:
        raise ModelCorrupt(f"metadata field {kind}.shift is not an integer")
    bits = [bits] * count if type(bits) is int else bits
    if not isinstance(bits, list) or len(bits) != count or any(type(b) is not int for b in bits):
        raise ModelCorrupt(f"metadata field {kind}.weight_bits is not an integer or a list of {count}")
    return Scaling(shift, tuple(bits))


def _check_nodes(file: ModelProto, expected: list[layout.Node]) -> None:
    if len(file.nodes) != len(expected):
        raise ModelUnsupported(
            f"the graph has {len(file.nodes)} nodes; this architecture has {len(expected)}"
        )
    for node, wanted in zip(file.nodes, expected, strict=True):
        got = layout.Node(node.name, node.op, tuple(node.inputs), tuple(node.outputs), {})
        if node.domain != layout.DOMAIN or got != dataclasses.replace(wanted, attributes={}):
            raise ModelUnsupported(
                f"node {node.name!r} is not the {wanted.op} node {wanted.name!r} expected there"
            )
        if node.attributes != wanted.attributes:
            raise ModelUnsupported(
                f"node {node.name} has attributes {node.attributes}; the metadata says {wanted.attributes}"
            )


def _tensor(file: ModelProto, name: str) -> NDArray[Any]:
    if name not in file.tensors:
        raise ModelUnsupported(f"tensor {name} is missing")
    return file.tensors[name]
