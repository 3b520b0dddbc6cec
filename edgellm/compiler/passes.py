"""FINN's passes over the lowered graph: widths, specialisation, converters, FIFOs, code generation."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
from finn.transformation.fpgadataflow.minimize_weight_bit_width import MinimizeWeightBitWidth
from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from finn.util.basic import getHWCustomOp
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

import edgellm.compiler.ops  # noqa: F401  (registers the project's operations with FINN)
from edgellm.compiler.graph import FINN_DOMAIN
from edgellm.errors import FoldingError

NO_DEPTHS: Mapping[str, int] = MappingProxyType({})
SHALLOWEST = 2  # of FINN's FIFO
PLUMBING = {"StreamingFIFO": "fifo", "StreamingDataWidthConverter": "dwc"}


def specialise(model: ModelWrapper, part: str) -> ModelWrapper:
    """Shapes, types and minimal widths; every node becomes its RTL variant."""
    model = _specialise(_apply(model, InferShapes(), InferDataTypes(), MinimizeWeightBitWidth()), part)
    # The blocks behind the MVAUs follow the narrower accumulators.
    return _apply(model, MinimizeAccumulatorWidth(), InferDataTypes())


def connect(model: ModelWrapper, part: str, depths: Mapping[str, int] = NO_DEPTHS) -> ModelWrapper:
    """Width converters and FIFOs between nodes, named after the stream that they carry.

    `depths` of FIFOs, by the stream that goes in, replace those of the lowering. Raises: FoldingError for a stream without one.
    """
    model = _specialise(_apply(model, InsertDWC(), InsertMixedFIFO(), InsertFIFO()), part)
    model = _apply(model, NamePlumbing())
    fifos = {node.input[0]: node for node in model.graph.node if node.op_type.startswith("StreamingFIFO")}
    for stream, depth in depths.items():
        if stream not in fifos:
            raise FoldingError(
                f"fifos: stream {stream} has no FIFO: those that have one are {', '.join(fifos)}"
            )
        getHWCustomOp(fifos[stream]).set_nodeattr("depth", depth)
    return model


def generate(model: ModelWrapper, part: str, clock_ns: float) -> ModelWrapper:
    """HDL of every node, in folders under FINN's build folder."""
    return _apply(model, PrepareIP(part, clock_ns))


def _specialise(model: ModelWrapper, part: str) -> ModelWrapper:
    """SpecializeLayers, which gives nodes new names, and their old names back."""
    names = {node.output[0]: node.name for node in model.graph.node}
    model = _apply(model, SpecializeLayers(part))
    for node in model.graph.node:
        node.name = names[node.output[0]]
    return model


def _apply(model: ModelWrapper, *steps: Transformation) -> ModelWrapper:
    for step in steps:
        model = model.transform(step)
    return model


class InsertMixedFIFO(Transformation):  # type: ignore[misc]
    """FIFOs behind nodes whose outputs differ: InsertFIFO takes every output for one like the first."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Insert them all at once."""
        for node in list(model.graph.node):
            op = getHWCustomOp(node)
            kinds = {
                (op.get_folded_output_shape(i), op.get_output_datatype(i)) for i in range(len(node.output))
            }
            if len(kinds) > 1:
                for index in range(len(node.output)):
                    _insert_fifo(model, node, index)
        return model, False


def _insert_fifo(model: ModelWrapper, node: Any, index: int) -> None:
    tensor = node.output[index]
    consumer = model.find_consumer(tensor)
    if consumer is None:
        return
    op, into = getHWCustomOp(node), list(consumer.input).index(tensor)
    depths = _depth(op, "outFIFODepths", index), _depth(getHWCustomOp(consumer), "inFIFODepths", into)
    shape, dtype = op.get_normal_output_shape(index), op.get_output_datatype(index)
    behind = f"{tensor}_fifo"
    model.graph.value_info.append(helper.make_tensor_value_info(behind, TensorProto.FLOAT, list(shape)))
    model.set_tensor_datatype(behind, dtype)
    fifo = helper.make_node(
        "StreamingFIFO",
        [tensor],
        [behind],
        domain=FINN_DOMAIN,
        backend="fpgadataflow",
        depth=max(SHALLOWEST, *depths),
        folded_shape=list(op.get_folded_output_shape(index)),
        normal_shape=list(shape),
        dataType=dtype.name,
    )
    model.graph.node.insert(list(model.graph.node).index(node) + 1, fifo)
    consumer.input[into] = behind


def _depth(op: Any, attribute: str, index: int) -> int:
    depths = op.get_nodeattr(attribute)
    return int(depths[min(index, len(depths) - 1)])


class NamePlumbing(Transformation):  # type: ignore[misc]
    """Name converters and FIFOs, and the streams behind them, after the stream that goes in.

    FINN leaves the nodes without names and gives the streams random ones.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Rename in graph order, so that names of chains build up."""
        for node in model.graph.node:
            kind = PLUMBING.get(node.op_type.removesuffix("_rtl"))
            if kind is None:
                continue
            node.name = f"{node.input[0]}_{kind}"
            if node.output[0] != node.name:
                model.rename_tensor(node.output[0], node.name)
        return model, False
