"""Finding models: by path, or by the name of a shipped or installed one."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from edgellm import resources
from edgellm.errors import ModelNotFound

MANIFEST = "manifest.json"


def folders() -> list[Path]:
    """Where named models are looked for: `$EDGELLM_MODELS` (a search path), then the shipped ones."""
    extra = [
        Path(entry).expanduser() for entry in os.environ.get("EDGELLM_MODELS", "").split(os.pathsep) if entry
    ]
    return [*extra, resources.models()]


def available() -> dict[str, Path]:
    """Name -> folder of every model that can be loaded by name."""
    found: dict[str, Path] = {}
    for folder in folders():
        for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
            found.setdefault(manifest.parent.name, manifest.parent)
    return dict(sorted(found.items()))


def find(model: str | os.PathLike[str]) -> Path:
    """Folder of a model given as a path or a name; ModelNotFound names what there is instead."""
    path = Path(model).expanduser()
    if (path / MANIFEST).is_file():
        return path
    known = available()
    if str(model) in known:
        return known[str(model)]
    if path.exists():
        raise ModelNotFound(
            f"{path}: no {MANIFEST} in it, so it is not a model folder: run `edgellm export` to make one"
        )
    close = difflib.get_close_matches(str(model), known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    names = ", ".join(known) or "none"
    raise ModelNotFound(f"{model}: no such folder and no model of that name. {hint}Known models: {names}")
