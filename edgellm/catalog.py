"""Finding models: by path of a model, design or bundle, or by the name of a shipped or installed one."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from edgellm import bundle, resources
from edgellm.errors import ModelNotFound

MANIFEST, MODEL, DESIGN = "manifest.json", "model", "design.json"


def folders() -> list[Path]:
    """Where named models are looked for: `$EDGELLM_MODELS` (a search path), then the shipped ones."""
    extra = [
        Path(entry).expanduser() for entry in os.environ.get("EDGELLM_MODELS", "").split(os.pathsep) if entry
    ]
    return [*extra, resources.models()]


def available() -> dict[str, Path]:
    """Name -> folder, or bundle, of every model that can be loaded by name."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted([*folder.glob(f"*/{MANIFEST}"), *folder.glob(f"*{bundle.SUFFIX}")]):
            place = path.parent if path.name == MANIFEST else path
            found.setdefault(place.name.removesuffix(bundle.SUFFIX), place)
    return dict(sorted(found.items()))


def find(model: str | os.PathLike[str]) -> Path:
    """Folder of a model: given as its path, its design folder, a bundle (checked, then unpacked in the cache), or a name.

    Raises ModelNotFound, which names what there is instead, and the errors of `bundle.open`.
    """
    path = Path(model).expanduser()
    if found := _folder(path):
        return found
    known = available()
    if str(model) in known:
        return _folder(known[str(model)]) or known[str(model)]
    if path.exists():
        raise ModelNotFound(
            f"{path}: no {MANIFEST} in it, so it is not a model folder: run `edgellm export` to make one"
        )
    close = difflib.get_close_matches(str(model), known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    names = ", ".join(known) or "none"
    raise ModelNotFound(f"{model}: no such folder and no model of that name. {hint}Known models: {names}")


def _folder(path: Path) -> Path | None:
    """The model folder that a path leads to."""
    if path.suffix == bundle.SUFFIX and path.is_file():
        with bundle.open(path) as opened:
            return opened.cached() / MODEL
    for folder in (path, path / MODEL):
        if (folder / MANIFEST).is_file():
            return folder
    return None


def design_around(folder: Path) -> Path | None:
    """The design folder that this model folder belongs to: it lies in DESIGN/model."""
    place = folder.resolve()
    return place.parent if place.name == MODEL and (place.parent / DESIGN).is_file() else None
