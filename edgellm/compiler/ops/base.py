"""Base of the project's own FINN operations: streams in, streams out, one SystemVerilog module underneath.

A block is one class that says what its streams, parameters, tables and costs are. `register` makes FINN know it twice,
as `<Name>` and, after SpecializeLayers, as `<Name>_rtl`, in FINN's own domains (FINN looks nowhere else).
Graph inputs of a node are its streams in port order, then its constant tables (initializers).
"""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import finn.custom_op.fpgadataflow as hw_domain
import finn.custom_op.fpgadataflow.rtl as rtl_domain
import numpy as np
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend
from numpy.typing import NDArray
from qonnx.core.datatype import DataType

from edgellm.compiler import rtl_library
from edgellm.compiler.costs import Cost
from edgellm.sim import streams

Int64 = NDArray[np.int64]
Attributes = dict[str, tuple[Any, ...]]  # FINN's form: name -> (type, required, default)
SIGNALS = ("TDATA", "TVALID", "TREADY")
TAG_BYTES, BLOCK_TAG_BYTES, TOKEN_BYTES, WORD_BYTES, REQUEST_BYTES = 4, 5, 8, 4, 12


def integers(*names: str) -> Attributes:
    """Required integer node attributes."""
    return dict.fromkeys(names, ("i", True, 0))


def bits(*names: str) -> Attributes:
    """Integer node attributes that are widths of what lies in a byte: 8 unless given."""
    return dict.fromkeys(names, ("i", False, 8))


@dataclass(frozen=True, slots=True)
class Stream:
    """A vector of `elements` of FINN type `dtype`, `lanes` of them a beat."""

    elements: int
    lanes: int
    dtype: str

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return int(DataType[self.dtype].bitwidth())

    @property
    def beats(self) -> int:
        return self.elements // self.lanes


def record(nbytes: int) -> Stream:
    """A tag, token or word: one beat of bytes, lowest first, so that FINN's float tensors hold it exactly."""
    return Stream(nbytes, nbytes, "UINT8")


TAG, BLOCK_TAG, TOKEN, WORD = (record(n) for n in (TAG_BYTES, BLOCK_TAG_BYTES, TOKEN_BYTES, WORD_BYTES))
REQUEST = record(REQUEST_BYTES)  # seed, position and temperature of a token to be chosen
SELECTOR = Stream(1, 1, "UINT8")


@dataclass(frozen=True, slots=True)
class Table:
    """A memory of the block: integers [rows, lanes] of `bits` bits, lane 0 in the low bits of a row."""

    values: Int64
    bits: int

    def hex(self) -> str:
        """What $readmemh reads: one row a line."""
        rows = streams.pack(self.values, self.bits)
        digits = -(-self.values.shape[-1] * self.bits // 4)
        return "".join(bytes(row[::-1]).hex()[-digits:] + "\n" for row in rows)


class Block(HWCustomOp):  # type: ignore[misc]
    """One own operation. Subclasses give MODULE, attributes, streams, parameters, tables, compute and cost."""

    MODULE: ClassVar[str]
    ATTRIBUTES: ClassVar[Attributes] = {}
    FOLDING: ClassVar[tuple[str, ...]] = ()  # attributes that set the parallelism

    @abstractmethod
    def stream_inputs(self) -> tuple[Stream, ...]:
        """Streams that come in, in port order."""

    @abstractmethod
    def stream_outputs(self) -> tuple[Stream, ...]:
        """Streams that go out, in port order."""

    @abstractmethod
    def parameters(self) -> dict[str, int | str]:
        """Values of the module's parameters."""

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        """File parameter -> content, from the node's constant inputs."""
        return {}

    def ports(self) -> list[tuple[str, Stream, bool]]:
        """(name, stream, is an input) of every AXI4-Stream port of the wrapper."""
        inward = [(f"in{i}", s, True) for i, s in enumerate(self.stream_inputs())]
        return inward + [(f"out{i}", s, False) for i, s in enumerate(self.stream_outputs())]

    def stream_pins(self) -> list[str]:
        """Connections of the module's stream ports to those of the wrapper around it."""
        return [f".{name}_V_{s}({name}_V_{s})" for name, _, _ in self.ports() for s in SIGNALS]

    @abstractmethod
    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        """Output vectors of one input vector a stream, then the constants, all one-dimensional or table-shaped."""

    def interval(self) -> int:
        """Cycles from one vector to the next."""
        return max(s.beats for s in self.stream_inputs() + self.stream_outputs())

    @abstractmethod
    def latency(self) -> int:
        """Cycles from the last input beat of a vector to its last output beat, unstalled."""

    @abstractmethod
    def cost(self, fpgapart: str) -> Cost:
        """Estimated resources on a part."""

    # FINN's interface

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        return {**super().get_nodeattr_types(), **self.ATTRIBUTES}

    def attr(self, name: str) -> int:
        """Value of an integer node attribute."""
        return int(self.get_nodeattr(name))

    def _stream(self, ind: int, out: bool) -> Stream | None:
        known = self.stream_outputs() if out else self.stream_inputs()
        return known[ind] if ind < len(known) else None  # constants follow the streams

    def get_input_datatype(self, ind: int = 0) -> Any:
        stream = self._stream(ind, out=False)
        return DataType[stream.dtype if stream else "INT32"]

    def get_output_datatype(self, ind: int = 0) -> Any:
        return DataType[self.stream_outputs()[ind].dtype]

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return (1, self.stream_inputs()[ind].elements)

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        return (1, self.stream_outputs()[ind].elements)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        stream = self.stream_inputs()[ind]
        return (1, stream.beats, stream.lanes)

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        stream = self.stream_outputs()[ind]
        return (1, stream.beats, stream.lanes)

    def get_instream_width(self, ind: int = 0) -> int:
        stream = self._stream(ind, out=False)
        return stream.lanes * stream.bits if stream else 0

    def get_outstream_width(self, ind: int = 0) -> int:
        stream = self.stream_outputs()[ind]
        return stream.lanes * stream.bits

    def get_number_output_values(self) -> int:
        return prod(s.beats for s in self.stream_outputs())

    def get_exp_cycles(self) -> int:
        return self.interval()

    def get_verilog_top_module_name(self) -> str:
        return f"{self.onnx_node.name}_block"  # a node may have the name of the module inside

    def make_shape_compatible_op(self, model: Any) -> Any:
        node = super().make_shape_compatible_op(model)
        node.output[:] = self.onnx_node.output[:1]  # the shapes of the others are declared in the graph
        return node

    def infer_node_datatype(self, model: Any) -> None:
        for ind, name in enumerate(self.onnx_node.output):
            model.set_tensor_datatype(name, self.get_output_datatype(ind))

    def verify_node(self) -> list[str]:
        return []

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """Run `compute` on the tensors of one vector."""
        known = len(self.stream_inputs())
        inputs = [np.asarray(context[name]).astype(np.int64) for name in self.onnx_node.input]
        results = self.compute(*[x.reshape(-1) for x in inputs[:known]], *inputs[known:])
        for name, value in zip(self.onnx_node.output, results, strict=True):
            context[name] = np.asarray(value, np.float32).reshape(1, -1)

    def bram_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).bram18

    def dsp_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).dsp

    def lut_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).lut


class BlockRtl(RTLBackend):  # type: ignore[misc]
    """The RTL side of every Block: a wrapper module that sets parameters and names the memory files."""

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        return {**super().get_nodeattr_types(), "gen_top_module": ("s", False, "")}

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        self.BLOCK.execute_node(self, context, graph)

    def generate_hdl(self, model: Any, fpgapart: str, clk: float) -> None:
        """Write `<node>_block.v` and its tables into the node's code generation folder."""
        folder, top = Path(self.get_nodeattr("code_gen_dir_ipgen")), self.get_verilog_top_module_name()
        constants = [np.asarray(c, np.int64) for c in self.constants(model)]
        values = {name: _verilog(value) for name, value in self.parameters().items()}
        for name, table in self.tables(constants).items():
            file = f"{self.onnx_node.name}_{name.lower()}.dat"
            (folder / file).write_text(table.hex(), encoding="ascii")
            values[name] = _verilog(f"mem/{file}")
        (folder / f"{top}.v").write_text(self.wrapper(top, values), encoding="ascii")
        for attribute, value in (("gen_top_module", top), ("ipgen_path", folder), ("ip_path", folder)):
            self.set_nodeattr(attribute, str(value))

    def constants(self, model: Any) -> list[Any]:
        """The node's tables, in input order."""
        return [model.get_initializer(n) for n in self.onnx_node.input[len(self.stream_inputs()) :]]

    def wrapper(self, top: str, values: dict[str, str]) -> str:
        """Verilog of the wrapper: FINN's port names around the parametrised module."""
        ports = ["input ap_clk", "input ap_rst_n"]
        for name, stream, inward in self.ports():
            ahead, back = ("input", "output") if inward else ("output", "input")
            width = streams.beat_bytes(stream.lanes, stream.bits) * 8
            ports += [f"{ahead} [{width - 1}:0] {name}_V_TDATA", f"{ahead} {name}_V_TVALID"]
            ports += [f"{back} {name}_V_TREADY"]
        pins = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)", *self.stream_pins()]
        settings = ",\n  ".join(f".{name}({value})" for name, value in values.items())
        return (
            f"module {top} (\n  {_lines(ports)}\n);\n"
            f"  {self.MODULE} #(\n  {settings}\n  ) inst (\n"
            f"  {_lines(pins)}\n  );\nendmodule\n"
        )

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        folder = self.get_nodeattr("code_gen_dir_ipgen") + "/" if abspath else ""
        own = [str(path) if abspath else path.name for path in rtl_library.closure(self.MODULE)]
        return [*own, f"{folder}{self.get_verilog_top_module_name()}.v"]

    def memory_files(self) -> list[str]:
        """Absolute paths of the generated tables."""
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        return sorted(str(path) for path in folder.glob("*.dat"))

    def code_generation_ipi(self) -> list[str]:
        files = [f"add_files -norecurse {path}" for path in self.get_rtl_file_list(abspath=True)]
        top, name = self.get_verilog_top_module_name(), self.onnx_node.name
        return [*files, f"create_bd_cell -type module -reference {top} {name}"]


def _verilog(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _lines(items: list[str]) -> str:
    return ",\n  ".join(items)


def register(block: type[Block]) -> type[Block]:
    """Class decorator: make FINN know `block` and its RTL specialisation."""
    specialised = type(f"{block.__name__}_rtl", (BlockRtl, block), {"BLOCK": block, "__doc__": block.__doc__})
    hw_domain.register_custom_op(block)
    rtl_domain.register_custom_op(specialised)
    return block
