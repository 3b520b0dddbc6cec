"""A FINN graph under construction: tensors with shapes and types, nodes in FINN's domain, constants."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.basic import qonnx_make_model

FINN_DOMAIN = "finn.custom_op.fpgadataflow"
SHALLOW = 2  # InsertFIFO puts no FIFO there


class GraphBuilder:
    """Collects what `model` turns into a ModelWrapper. Tensors are [1, elements] floats with a FINN type."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._shapes: dict[str, int] = {}
        self._types: dict[str, str] = {}
        self._constants: dict[str, NDArray[Any]] = {}

    def tensor(self, name: str, elements: int, dtype: str) -> str:
        """Declare a stream and return its name."""
        self._shapes[name], self._types[name] = elements, dtype
        return name

    def constant(self, name: str, values: NDArray[Any], dtype: str) -> str:
        """Declare a constant and return its name."""
        self._constants[name], self._types[name] = values, dtype
        return name

    def node(
        self, op: str, name: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node of FINN operation `op`; streams whose FIFO depth is not given get the least."""
        attributes = {
            "inFIFODepths": [SHALLOW] * len(inputs),
            "outFIFODepths": [SHALLOW] * len(outputs),
            **attributes,
        }
        self._nodes.append(
            helper.make_node(
                op,
                list(inputs),
                list(outputs),
                name=name,
                domain=FINN_DOMAIN,
                backend="fpgadataflow",
                preferred_impl_style="rtl",
                **attributes,
            )
        )

    def model(self, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        """The graph as a ModelWrapper."""
        infos = {
            n: helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, e]) for n, e in self._shapes.items()
        }
        inner = [info for name, info in infos.items() if name not in {*inputs, *outputs}]
        ends = [infos[name] for name in inputs], [infos[name] for name in outputs]
        wrapper = ModelWrapper(
            qonnx_make_model(helper.make_graph(self._nodes, "accelerator", *ends, value_info=inner))
        )
        for name, values in self._constants.items():
            wrapper.set_initializer(name, np.ascontiguousarray(values))
        for name, dtype in self._types.items():
            wrapper.set_tensor_datatype(name, DataType[dtype])
        return wrapper
