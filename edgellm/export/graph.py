"""Write the integer ONNX model: one file that the golden model, ONNX Runtime and the compiler all read."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgellm._version import __version__
from edgellm.export.functions import Forms, functions
from edgellm.numerics import layout
from edgellm.numerics.layout import Scaling
from edgellm.numerics.model import Architecture, Int, IntegerModel, Linear
from edgellm.numerics.validate import largest_scaled, linears, validate

FLOAT32_EXACT = 1 << 24
NARROW_NORM_SHIFT = 16
LARGEST_RESIDUAL = 1 << 15
LARGEST_PRODUCT = 1 << 14  # of two numbers of 8 bits
LARGEST_TABLE = 1 << 17  # numbers of float32 that ONNX Runtime may make at load
_FUNCTION = {
    "qkv": "Linear",
    "gate_up": "Linear",
    "attn_out": "LinearResidual",
    "down": "LinearResidual",
    "head": "Head",
}


def build_onnx(model: IntegerModel) -> onnx.ModelProto:
    """The model as an ONNX file of opset 21 that runs R tokens at a time.

    Inputs: token, position int64 [R], and per layer keys, values int8 [B, kv_heads, context, head_dim]. Outputs:
    logits int16 [R, vocab], next_token int64 [R], and the caches with the new positions written. Either B is R, and
    each token belongs to a slot of its own, or B is 1, and the tokens are consecutive ones of one slot.
    Raises ModelUnsupported for a model outside the contract.
    """
    validate(model)
    scaling = _scaling(model)
    nodes = [_node(node) for node in layout.nodes(model.arch, model.numerics, scaling)]
    inputs, outputs = _interface(model.arch)
    graph = helper.make_graph(nodes, "edgellm", inputs, outputs, _initializers(model))
    proto = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", layout.OPSET),
            helper.make_opsetid(layout.DOMAIN, layout.DOMAIN_VERSION),
        ],
        functions=functions(forms(model), model.widths),
        ir_version=layout.IR_VERSION,
        producer_name="edgellm",
        producer_version=__version__,
    )
    helper.set_model_props(proto, model.metadata | {layout.METADATA_KEY: _header(model, scaling)})
    return proto


def numerics_version(model: IntegerModel) -> int:
    """The oldest version of the contract that has what the model needs."""
    return layout.version(_scaling(model), model.widths)


def forms(model: IntegerModel) -> Forms:
    """The shortest function bodies that are exact for this model (docs/numerics.md, "ONNX")."""
    by_function: dict[str, list[tuple[str, Linear]]] = {"Linear": [], "LinearResidual": [], "Head": []}
    for name, linear, _ in linears(model):
        by_function[_FUNCTION[name.rpartition(".")[2]]].append((name, linear))
    narrow = {name for name, group in by_function.items() if all(_narrow(name, lin) for _, lin in group)}
    integer = {name for name, group in by_function.items() if all(lin.weight_bits <= 7 for _, lin in group)}
    residuals = [linear for _, linear in by_function["LinearResidual"]]
    return Forms(
        norm_narrow=model.numerics.norm_shift <= NARROW_NORM_SHIFT,
        narrow=frozenset(narrow & integer),
        integer=frozenset(integer - narrow),
        fused_residual=all(_fits_with_half(lin, LARGEST_RESIDUAL) for lin in residuals),
        scaled_scores=2 * LARGEST_PRODUCT * model.arch.head_dim * model.numerics.score_mult <= FLOAT32_EXACT,
        rotation_table=model.arch.context * model.arch.head_dim**2 <= LARGEST_TABLE,
    )


def _narrow(function: str, linear: Linear) -> bool:
    if function == "LinearResidual":
        return int(largest_scaled(linear).max()) < FLOAT32_EXACT
    return _fits_with_half(linear, 0)


def _fits_with_half(linear: Linear, added: int) -> bool:
    """Is `scaled sum - 1/2 + half a unit + added` exact in float32? Counted in half units, 2^-(shift+1)."""
    bound = 2 * int(largest_scaled(linear).max()) + (1 << linear.shift)
    return bound + (added << (linear.shift + 1)) < FLOAT32_EXACT


def _node(node: layout.Node) -> onnx.NodeProto:
    proto = helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=layout.DOMAIN)
    proto.attribute.extend(helper.make_attribute(key, value) for key, value in node.attributes.items())
    return proto


def _scaling(model: IntegerModel) -> dict[str, Scaling]:
    kinds: dict[str, list[Linear]] = {
        kind: [getattr(block, kind) for block in model.blocks] for kind in layout.LINEARS[:-1]
    }
    groups = kinds | {"head": [model.head]}
    return {
        kind: Scaling(group[0].shift, tuple(lin.weight_bits for lin in group))
        for kind, group in groups.items()
    }


def _header(model: IntegerModel, scaling: dict[str, Scaling]) -> str:
    version = layout.version(scaling, model.widths)
    widths = {"widths": dataclasses.asdict(model.widths)} if version > 1 else {}
    return json.dumps(
        {
            "numerics_version": version,
            "arch": dataclasses.asdict(model.arch),
            "numerics": dataclasses.asdict(model.numerics),
            "linears": {kind: _entry(value) for kind, value in scaling.items()},
            **widths,
        }
    )


def _entry(scaling: Scaling) -> dict[str, int | list[int]]:
    bits = scaling.weight_bits
    return {"shift": scaling.shift, "weight_bits": bits[0] if scaling.uniform else list(bits)}


def _interface(arch: Architecture) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    cache: list[str | int | None] = [layout.BATCH, arch.kv_heads, arch.context, arch.head_dim]
    info = helper.make_tensor_value_info
    inputs = [info(name, TensorProto.INT64, [layout.ROWS]) for name in (layout.TOKEN, layout.POSITION)]
    outputs = [
        info(layout.LOGITS, TensorProto.INT16, [layout.ROWS, arch.vocab]),
        info(layout.NEXT_TOKEN, TensorProto.INT64, [layout.ROWS]),
    ]
    for layer in range(arch.layers):
        names = layout.cache_names(layer)
        inputs += [info(name, TensorProto.INT8, cache) for name in names[:2]]
        outputs += [info(name, TensorProto.INT8, cache) for name in names[2:]]
    return inputs, outputs


def _initializers(model: IntegerModel) -> list[onnx.TensorProto]:
    tensors: dict[str, Int] = {
        "embedding": model.embedding.astype(np.int8),
        "exp_table": model.exp_table.astype(np.uint8),
        "silu_table": model.silu_table.astype(np.int8),
        "rope_cos": model.rope_cos.astype(np.int16),
        "rope_sin": model.rope_sin.astype(np.int16),
    }
    for name, linear, _ in linears(model):
        weight, mult, bias = layout.linear_names(name)
        tensors[weight] = linear.weight.astype(np.int8)
        tensors[mult] = linear.mult.astype(np.int32)
        tensors[bias] = linear.bias.astype(np.int32)
    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in tensors.items()]
