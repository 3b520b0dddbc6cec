"""`edgellm models`: what can be loaded by name."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgellm import catalog, manifest
from edgellm.cli.common import Commands, command, table
from edgellm.errors import ModelError

EXAMPLES = """\
examples:
  edgellm models
  EDGELLM_MODELS=~/my-models edgellm models --json
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "models", "list the models that can be loaded by name", run, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """List the models; a damaged one is listed with what is wrong with it."""
    rows = [_describe(name, place) for name, place in catalog.available().items()]
    if options.json:
        print(json.dumps(rows))
    else:
        print(
            table(["name", "state", "description"], [(r["name"], r["state"], r["description"]) for r in rows])
        )
    return 0


def _describe(name: str, place: Path) -> dict[str, str]:
    """`place` is a model's folder or bundle."""
    try:
        described = manifest.read(catalog.find(name))
    except ModelError as error:
        return {"name": name, "state": "damaged", "description": str(error), "folder": str(place)}
    return {"name": name, "state": "ok", "description": described.description, "folder": str(place)}
