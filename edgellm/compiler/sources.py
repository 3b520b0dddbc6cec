"""RTL and memory files of a design folder, copied so that nothing in them points outside of it."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

from pathlib import Path
from typing import Any

from finn.util.basic import getHWCustomOp
from finn.util.settings import get_settings

from edgellm import resources
from edgellm.compiler import converters, costs, portable, rtl_library, ternary, weights
from edgellm.errors import CompileError

RTL, SIMULATION, MEMORY, TOP = "rtl", "sim", "mem", "top.sv"
# of hw/rtl/finn_sim, for what Verilator rejects or is slow with
STAND_INS = ("fifo.sv", "mvu.sv")
UNUSED = ("fifo_gauge.sv",)  # FINN's FIFO measurement, off outside its own simulations


def collect(model: Any, out: Path) -> tuple[list[str], list[str]]:
    """Copy the files of every node into `out`.

    Returns the sources relative to `out`, packages first and top.sv last: for synthesis, and for simulation.
    """
    for folder in (RTL, SIMULATION, MEMORY):
        (out / folder).mkdir()
    texts: dict[str, str] = {}
    for node in model.graph.node:
        op = getHWCustomOp(node)
        for name, text in _node_files(op).items():
            _add(texts, name, text)
        if node.op_type == "MVAU_rtl":
            _add(texts, f"{weights.module_name(node.name)}.v", weights.joined(op))
        _copy_memories(op, out / MEMORY)
    for path in [*rtl_library.closure("axis_probe"), rtl_library.path(portable.TAPS)]:
        _add(texts, path.name, path.read_text(encoding="utf-8"))
    for name, text in texts.items():
        (out / RTL / name).write_text(text, encoding="utf-8")
    for name in STAND_INS:
        text = (resources.rtl() / "finn_sim" / name).read_text(encoding="utf-8")
        (out / SIMULATION / name).write_text(text, encoding="utf-8")
    return _ordered(texts, ()), _ordered(texts, STAND_INS)


def add_library(out: Path, module: str) -> list[str]:
    """Copy a module of hw/rtl and all it needs into `out`; the names of those that were not there, the module's own last."""
    added = []
    for path in rtl_library.closure(module):
        text, target = path.read_text(encoding="utf-8"), out / RTL / path.name
        if not target.exists():
            target.write_text(text, encoding="utf-8")
            added.append(f"{RTL}/{path.name}")
        elif target.read_text(encoding="utf-8") != text:
            raise CompileError(f"two different RTL files are called {path.name}")
    return added


def _node_files(op: Any) -> dict[str, str]:
    """File name -> text of what a node's module needs."""
    kind = op.onnx_node.op_type
    if kind == "StreamingDataWidthConverter_rtl":
        widths = int(op.get_instream_width()), int(op.get_outstream_width())
        if converters.divides(*widths):
            return converters.files(op.onnx_node.name, *widths)
    own = {path.name: _text(path, op) for path in _files(op)}
    ternary_weights = kind == "MVAU_rtl" and op.weight_bits() == costs.TERNARY
    return ternary.files(own) if ternary_weights else own


def _ordered(texts: dict[str, str], replaced: tuple[str, ...]) -> list[str]:
    names = sorted(texts, key=lambda name: not name.endswith("_pkg.sv"))
    return [f"{SIMULATION if name in replaced else RTL}/{name}" for name in names] + [TOP]


def _files(op: Any) -> list[Path]:
    files = [Path(name) for name in op.get_rtl_file_list(abspath=True)]
    if op.onnx_node.op_type == "MVAU_rtl":
        files += weights.memory_sources(Path(get_settings().finn_rtllib), op)
    return [path for path in files if path.name not in UNUSED]


def _text(path: Path, op: Any) -> str:
    """A file's text as every tool reads it, with the path of the weight file made relative."""
    text = portable.text(path.name, path.read_text(encoding="utf-8"))
    folder = op.get_nodeattr("code_gen_dir_ipgen")
    return text.replace(f"{folder}/memblock.dat", f"{MEMORY}/{op.onnx_node.name}_weights.dat")


def _add(texts: dict[str, str], name: str, text: str) -> None:
    if texts.setdefault(name, text) != text:
        raise CompileError(f"two different RTL files are called {name}")


def _copy_memories(op: Any, folder: Path) -> None:
    files = [Path(name) for name in op.memory_files()] if hasattr(op, "memory_files") else []
    for path in files:
        name = f"{op.onnx_node.name}_weights.dat" if path.name == "memblock.dat" else path.name
        (folder / name).write_bytes(path.read_bytes())
