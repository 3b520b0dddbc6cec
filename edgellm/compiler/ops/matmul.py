"""Linear layers: FINN's MVAU_rtl with one weight set per layer, chosen by a selector stream.

FINN's memory streamer can hold several weight sets (attribute `bodies`), but FINN's node neither writes a file with
all of them nor has a port for the selector. These subclasses, registered under FINN's own names, do both: the
weights are a 3-D initializer [sets, K, N], input 2 is the selector (one beat a vector). Accumulator width, weight
width and NARROW_WEIGHTS follow from all sets. A node without `bodies` is FINN's, unchanged.
"""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import finn.custom_op.fpgadataflow as hw_domain
import finn.custom_op.fpgadataflow.rtl as rtl_domain
import numpy as np
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU as FinnMVAU  # noqa: N811
from finn.custom_op.fpgadataflow.rtl.matrixvectoractivation_rtl import MVAU_rtl as FinnMVAURtl
from numpy.typing import NDArray
from qonnx.core.datatype import DataType

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops.base import SELECTOR
from edgellm.numerics import ops

WEIGHTS, SELECT = 1, 2  # inputs


class _Sets(FinnMVAU):  # type: ignore[misc]
    """What the two sides share."""

    def sets(self) -> int:
        """Weight sets; 0 when the node is a plain FINN MVAU."""
        return int(self.get_nodeattr("bodies"))

    def get_input_datatype(self, ind: int = 0) -> Any:
        return DataType[SELECTOR.dtype] if ind == SELECT else super().get_input_datatype(ind)

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return (1, 1) if ind == SELECT else super().get_normal_input_shape(ind)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return (1, 1, 1) if ind == SELECT else super().get_folded_input_shape(ind)

    def get_instream_width(self, ind: int = 0) -> int:
        return SELECTOR.bits if ind == SELECT else super().get_instream_width(ind)

    def infer_node_datatype(self, model: Any) -> None:
        super().infer_node_datatype(model)
        if len(self.onnx_node.input) > SELECT:
            model.set_tensor_datatype(self.onnx_node.input[SELECT], DataType[SELECTOR.dtype])

    def minimize_accumulator_width(self, model: Any, datatype_only: bool = False) -> Any:
        with self._side_by_side(model):
            return super().minimize_accumulator_width(model, datatype_only)

    def minimize_weight_bit_width(self, model: Any, datatype_only: bool = False) -> Any:
        """The narrow signed type of the largest weight: the contract's |w| <= 2^(bits-1) - 1."""
        if not datatype_only:
            largest = int(np.abs(model.get_initializer(self.onnx_node.input[WEIGHTS])).max())
            self.set_nodeattr("weightDataType", f"INT{max(2, largest.bit_length() + 1)}")
        return DataType[self.get_nodeattr("weightDataType")]

    @contextlib.contextmanager
    def _side_by_side(self, model: Any) -> Iterator[None]:
        """FINN bounds the accumulator over the columns of a matrix: show it the sets as one wide matrix."""
        name = self.onnx_node.input[WEIGHTS]
        weights, dtype = model.get_initializer(name), model.get_tensor_datatype(name)
        if weights.ndim != 3:
            yield
            return
        model.set_initializer(name, np.concatenate(list(weights), axis=1))
        yield
        model.set_initializer(name, weights)
        model.set_tensor_datatype(name, dtype)

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """Exact accumulation of one vector with the selected set."""
        node = self.onnx_node
        weights: NDArray[Any] = np.asarray(context[node.input[WEIGHTS]])
        if weights.ndim == 3:
            weights = weights[int(np.asarray(context[node.input[SELECT]]).item()) if self._selected() else 0]
        acc = ops.accumulate(np.asarray(context[node.input[0]]).astype(np.int64), weights.astype(np.int64))
        context[node.output[0]] = acc.astype(np.float32)

    def _selected(self) -> bool:
        return len(self.onnx_node.input) > SELECT

    def weight_bits(self) -> int:
        return int(self.get_input_datatype(WEIGHTS).bitwidth())

    def dimensions(self) -> tuple[int, int, int, int, int]:
        """Rows, columns, sets, PE, SIMD."""
        rows, cols, pe, simd = (int(self.get_nodeattr(n)) for n in ("MW", "MH", "PE", "SIMD"))
        return rows, cols, max(1, self.sets()), pe, simd

    def cost(self, fpgapart: str) -> Cost:
        """Resources on a part; FINN's own estimate knows no LUTs and another packing."""
        return costs.matmul(costs.dsp_kind(fpgapart), *self.dimensions(), self.weight_bits())

    def bram_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).bram18

    def lut_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).lut

    def dsp_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).dsp

    def latency(self) -> int:
        """Cycles from the last input beat to the last output beat."""
        rows, cols, _, pe, simd = self.dimensions()
        return timing.matmul_latency(rows, cols, pe, simd)


class MVAU(_Sets):
    """FINN's MVAU with weight sets, before specialisation."""


class MVAU_rtl(_Sets, FinnMVAURtl):  # type: ignore[misc]  # noqa: N801
    """FINN's MVAU_rtl with weight sets."""

    def generate_params(self, model: Any, path: str) -> None:
        """Write memblock.dat: the sets one after the other, each as FINN lays out a single one."""
        weights = np.asarray(model.get_initializer(self.onnx_node.input[WEIGHTS]))
        scratch, rows = Path(path) / "set.dat", []
        for matrix in weights if weights.ndim == 3 else weights[None]:
            self.make_weight_file(matrix, "decoupled_verilog_dat", str(scratch))
            rows.append(scratch.read_text(encoding="ascii"))
        scratch.unlink()
        (Path(path) / "memblock.dat").write_text("".join(rows), encoding="ascii")

    def memory_files(self) -> list[str]:
        """Absolute path of the weight file."""
        return [str(Path(self.get_nodeattr("code_gen_dir_ipgen")) / "memblock.dat")]


hw_domain.register_custom_op(MVAU)
rtl_domain.register_custom_op(MVAU_rtl)
