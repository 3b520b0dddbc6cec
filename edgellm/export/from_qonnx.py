"""From the QONNX file that training exports to the integer model.

QONNX holds float weights that feed `Quant` nodes (scale, zero point, bit width) and, in metadata entry `edgellm`, the
shape, the shifts and the fixed activation scales. Everything else follows: a channel's multiplier is
`m = weight scale * input scale / output scale * 2^shift`, an integer because training kept the weight scales on
that grid.
"""

from __future__ import annotations

import dataclasses
import json
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgellm.errors import ExportError
from edgellm.numerics import layout
from edgellm.numerics.model import LOGIT_STEP_KEY, Architecture, Block, IntegerModel, Linear, Numerics, Widths
from edgellm.numerics.tables import exp_table, rope_tables, silu_table
from edgellm.numerics.validate import check_architecture, validate

GRID_TOLERANCE = 1e-3  # relative distance of a multiplier from the integer it stands for
SCALE_TOLERANCE = 1e-4
_WIDTHS = tuple(field.name for field in dataclasses.fields(Widths))

Float = NDArray[np.float64]


def from_qonnx(path: str | Path) -> IntegerModel:
    """Integer model of a QONNX file.

    Raises ExportError (not the expected QONNX, or a scale off the grid) or ModelUnsupported (outside the contract).
    """
    reader = _Reader(Path(path))
    arch, numerics = reader.record("arch", Architecture), reader.record("numerics", Numerics)
    check_architecture(arch)
    widths = reader.widths()
    _check_fixed_scales(reader, arch, numerics)
    cos, sin = rope_tables(arch.context, arch.head_dim, reader.number("arch", "rope_theta"))
    embedding, _, _ = reader.weight("embedding.weight")
    model = IntegerModel(
        arch=arch,
        numerics=numerics,
        embedding=embedding,
        blocks=tuple(_block(reader, arch, numerics, widths, layer) for layer in range(arch.layers)),
        head=_linear(
            reader, "head", "head", reader.scale("norm"), np.full(arch.vocab, reader.scale("logits"))
        ),
        exp_table=exp_table(),
        silu_table=silu_table(reader.scale("gate"), reader.scale("silu")),
        rope_cos=cos,
        rope_sin=sin,
        widths=widths,
        metadata={LOGIT_STEP_KEY: repr(reader.scale("logits"))},
    )
    validate(model)
    return model


def _block(reader: _Reader, arch: Architecture, numerics: Numerics, widths: Widths, layer: int) -> Block:
    norm, q, k, gate, residual = (reader.scale(n) for n in ("norm", "q", "k", "gate", "residual"))
    v, up = reader.scale_of_layer("v", layer), reader.scale_of_layer("up", layer)
    glu = reader.scale("silu") * up * 2.0**numerics.glu_shift
    mixed = v * 2.0 ** (8 - widths.activation)  # attention leaves with these steps, whatever the cache has
    q_width, kv_width = arch.attention_width, arch.kv_heads * arch.head_dim
    qkv_out = np.repeat([q, k, v], [q_width, kv_width, kv_width])
    gate_up_out = np.repeat([gate, up], arch.ffn)
    residual_out = np.full(arch.width, residual)

    def linear(kind: str, scale_in: float, scale_out: Float) -> Linear:
        return _linear(reader, kind, f"blocks.{layer}.{kind}", scale_in, scale_out)

    return Block(
        qkv=linear("qkv", norm, qkv_out),
        attn_out=linear("attn_out", mixed, residual_out),
        gate_up=linear("gate_up", norm, gate_up_out),
        down=linear("down", glu, residual_out),
    )


def _linear(reader: _Reader, kind: str, name: str, scale_in: float, scale_out: Float) -> Linear:
    tensor = f"{name}.weight"
    weight, scale, bits = reader.weight(tensor)
    if weight.shape[0] != scale_out.size:
        raise ExportError(
            f"{tensor} has {weight.shape[0]} output channels; the architecture needs {scale_out.size}"
        )
    shift = reader.integer("shifts", kind)
    mult = _multipliers(tensor, np.broadcast_to(scale, scale_out.shape) * scale_in / scale_out * 2.0**shift)
    bias = np.full(scale_out.size, 1 << (shift - 1), np.int32)
    return Linear(np.ascontiguousarray(weight.T), mult, bias, shift, bits)


def _multipliers(tensor: str, exact: Float) -> NDArray[np.int32]:
    nearest = np.rint(exact)
    off = np.abs(exact - nearest) > GRID_TOLERANCE * np.maximum(nearest, 1)
    if off.any():
        channel = int(np.argmax(off))
        raise ExportError(
            f"{tensor} channel {channel}: multiplier {exact[channel]:.6g} is not an integer; "
            "the weight scale must be m * 2^-shift * output scale / input scale"
        )
    return nearest.astype(np.int32)


def _check_fixed_scales(reader: _Reader, arch: Architecture, numerics: Numerics) -> None:
    """Scales that the integer arithmetic fixes: a different one in the file means another contract."""
    expected = {
        "norm": sqrt(arch.width) * 2.0 ** (numerics.norm_shift - 24),
        "residual": reader.scale("embedding") / 2.0**numerics.embed_shift,
    }
    for name, value in expected.items():
        if not isclose(reader.scale(name), value, rel_tol=SCALE_TOLERANCE):
            raise ExportError(f"scale {name} is {reader.scale(name):.6g}; the shifts make it {value:.6g}")


class _Reader:
    """Weights, scales and settings of one QONNX file; errors name the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            model = onnx.load(str(path))
        except Exception as error:  # a protobuf parser of one of several kinds
            raise ExportError(f"{path}: cannot be read as ONNX: {error}") from None
        self._tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._quants = {n.input[0]: n for n in model.graph.node if n.op_type == "Quant"}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        try:
            self._settings: Any = json.loads(entries[layout.METADATA_KEY])
        except (KeyError, ValueError):
            raise ExportError(f"{path}: no metadata entry '{layout.METADATA_KEY}' in JSON") from None

    def weight(self, name: str) -> tuple[NDArray[np.int8], Float, int]:
        """Integer weight in the file's orientation, its scale (scalar or one per row), its bit width."""
        if name not in self._quants or name not in self._tensors:
            raise ExportError(f"{self.path}: no weight {name} that feeds a Quant node")
        node = self._quants[name]
        scale, zero, bits = (self._constant(name, source) for source in node.input[1:4])
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if zero.any() or not attributes.get("signed", 1):
            raise ExportError(f"{self.path}: weight {name} must be quantised signed, with zero point 0")
        width = int(bits.reshape(-1)[0])
        high = (1 << (width - 1)) - 1
        low = -high - (0 if attributes.get("narrow", 0) else 1)
        integers = np.clip(np.rint(self._tensors[name] / scale), low, high).astype(np.int8)
        return integers, scale.astype(np.float64).reshape(-1), width

    def record(self, key: str, kind: type[Any]) -> Any:
        """A dataclass of integers from the settings."""
        return kind(**{f.name: self.integer(key, f.name) for f in dataclasses.fields(kind)})

    def integer(self, key: str, name: str) -> int:
        """Setting `key.name`, an integer."""
        value = self._setting(key, name)
        if type(value) is not int:
            raise ExportError(f"{self.path}: setting {key}.{name} is {value!r}; it must be an integer")
        return value

    def widths(self) -> Widths:
        """Widths of activations, caches and embedding; 8 bits each in a file that does not tell."""
        group = self._settings.get("widths", {}) if isinstance(self._settings, dict) else {}
        return Widths(**{name: self.integer("widths", name) for name in _WIDTHS if name in group})

    def number(self, key: str, name: str) -> float:
        """Setting `key.name`, a positive number."""
        return self._positive(f"{key}.{name}", self._setting(key, name))

    def scale(self, name: str) -> float:
        """An activation scale that all layers share."""
        return self.number("scales", name)

    def scale_of_layer(self, name: str, layer: int) -> float:
        """An activation scale given as a list with one entry per layer, or as one for all."""
        value = self._setting("scales", name)
        if isinstance(value, list):
            if layer >= len(value):
                raise ExportError(
                    f"{self.path}: setting scales.{name} has {len(value)} layers; {layer + 1} needed"
                )
            value = value[layer]
        return self._positive(f"scales.{name}", value)

    def _positive(self, name: str, value: Any) -> float:
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise ExportError(f"{self.path}: setting {name} is {value!r}; it must be a positive number")
        return float(value)

    def _setting(self, key: str, name: str) -> Any:
        group = self._settings.get(key) if isinstance(self._settings, dict) else None
        if not isinstance(group, dict) or name not in group:
            raise ExportError(f"{self.path}: metadata has no setting {key}.{name}")
        return group[name]

    def _constant(self, weight: str, name: str) -> NDArray[Any]:
        if name not in self._tensors:
            raise ExportError(f"{self.path}: weight {weight} is quantised by {name}, which is not a constant")
        return self._tensors[name]
