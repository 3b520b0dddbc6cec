"""Synthesis of one module with Yosys (pyosys from PyPI), kept by content.

Yosys reads SystemVerilog through slang and maps to 7-series or UltraScale+ primitives (`synth_xilinx`). Its LUT and flip-flop
counts are those before placement; a multiplier that FINN instantiates as a DSP stays what it is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from edgellm import cache
from edgellm.errors import CompileError, ToolMissing
from edgellm.synthesis import job, netlist
from edgellm.synthesis.dependencies import Library

KIND, CELLS, NETLIST = "yosys", "cells.json", "netlist.json"
FAMILIES = {"xc7": "xc7", "xcz": "xcup", "xck": "xcup"}  # beginning of a part's name -> Yosys' family
STAND_FOR_TOP = "the_top"


def version() -> str:
    """Of pyosys. Raises: ToolMissing."""
    if importlib.util.find_spec("pyosys") is None:
        raise ToolMissing("Yosys is not installed: pip install 'edgellm[synth]'")
    return importlib.metadata.version("pyosys")


def family(part: str) -> str:
    """Yosys' name of a part's family. Raises: CompileError for a part that `synth_xilinx` does not map to."""
    for beginning, name in FAMILIES.items():
        if part.startswith(beginning):
            return name
    raise CompileError(
        f"no Yosys family for part {part}: known are parts that begin with {', '.join(FAMILIES)}"
    )


def count(library: Library, module: str, kind: str) -> dict[str, int]:
    """Resources (lut, ff, dsp, bram18, uram) of `module` and all below it, in family `kind`.

    From the cache when the same sources and memory contents were counted before, whatever the module is called. Raises:
    ToolMissing, CompileError.
    """
    sources = library.closure(module)
    key = _key(library, sources, module, kind)

    def synthesise(work: Path) -> None:
        synthesise_into(work, library, module, kind)

    folder = cache.fetch(KIND, key, synthesise)
    return netlist.resources(json.loads((folder / CELLS).read_text(encoding="utf-8")))


def _key(library: Library, sources: list[str], module: str, kind: str) -> str:
    """Of all that can change the result; FIFOs that differ in nothing but their names have one key."""
    state = hashlib.sha256(f"{version()}\0{kind}\0{Path(job.__file__).read_text('utf-8')}".encode())
    for source in sources:
        text = library.text(source).replace(module, STAND_FOR_TOP)
        state.update(f"\0{source.replace(module, STAND_FOR_TOP)}\0{text}".encode())
    for name in library.memories(sources):
        state.update(f"\0{name}\0".encode() + (library.folder / name).read_bytes())
    return state.hexdigest()[:32]


def synthesise_into(work: Path, library: Library, module: str, kind: str, netlist: bool = False) -> None:
    """Run Yosys on `module` and leave the number of its cells, and the netlist if wanted, in the folder `work`.

    In a process of its own: its memory goes with it, and several can run at once. Raises: CompileError.
    """
    asked, place = work / "request.json", work.resolve()
    request = {"sources": library.closure(module), "top": module, "family": kind, "cells": str(place / CELLS)}
    more = {"netlist": str(place / NETLIST)} if netlist else {}
    asked.write_text(json.dumps({**request, **more}), encoding="utf-8")
    command = [sys.executable, job.__file__, str(asked.resolve())]
    with (work / "log.txt").open("w", encoding="utf-8") as log:
        code = subprocess.run(
            command, cwd=library.folder, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        lines = (work / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "error" in line.lower()] or lines[-5:]
        raise CompileError(f"{module}: Yosys failed (exit {code}):\n" + "\n".join(told[:10]))
