"""`manifest.json`: what a model folder holds, its checksums, and how a prompt is put to it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgellm import fields, files
from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.fields import Fields

FILE = "manifest.json"
FORMAT = 1
NUMERICS_VERSIONS = (1, 2)
TEMPLATE = "<s> {prompt}\t"
NORMALISE = ("lowercase", "strip_punctuation", "collapse_spaces")


@dataclass(frozen=True, slots=True)
class Prompt:
    """How text becomes the prompt: rules applied in order, then the template."""

    template: str = TEMPLATE
    normalise: tuple[str, ...] = NORMALISE


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of manifest.json. `arch` has the fields of `numerics.model.Architecture`."""

    name: str
    description: str
    files: Mapping[str, FileEntry]
    stop_ids: tuple[int, ...]
    arch: Mapping[str, int]
    prompt: Prompt = Prompt()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    numerics_version: int = NUMERICS_VERSIONS[0]
    format: int = FORMAT

    @property
    def context(self) -> int:
        """Positions that the model can hold."""
        return self.arch["context"]


def describe(path: Path) -> FileEntry:
    """Checksum and size of a file as it is now."""
    return FileEntry(files.sha256(path), path.stat().st_size)


def write(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into the folder, atomically."""
    text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
    files.write_text(folder / FILE, text + "\n")


def read(folder: Path) -> Manifest:
    """Read the manifest of a model folder and verify the checksum of every file it names.

    Raises ModelNotFound (no folder or no manifest), ModelCorrupt (malformed, a file missing or changed),
    ModelUnsupported (made for another version of edgellm).
    """
    path = folder / FILE
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFound(f"{folder}: no {FILE} in it, so it is not a model folder") from None
    manifest = parse(raw, path)
    for name, entry in manifest.files.items():
        _verify(folder / name, entry)
    return manifest


def parse(raw: bytes, path: Path) -> Manifest:
    """Manifest from the bytes of its file; `path` is for messages only."""
    reader = fields.parse(raw, path, ModelCorrupt, "export or download the model again")
    _known(reader, "format", (FORMAT,))
    numerics_version = _known(reader, "numerics_version", NUMERICS_VERSIONS)
    prompt = reader.inner("prompt")
    return Manifest(
        name=reader.get("name", str),
        description=reader.get("description", str),
        files={name: _entry(name, value, path) for name, value in reader.get("files", dict).items()},
        stop_ids=tuple(reader.list_of("stop_ids", int)),
        arch=_arch(reader),
        prompt=Prompt(prompt.get("template", str), tuple(prompt.list_of("normalise", str))),
        metrics=reader.get("metrics", dict),
        licence=reader.get("licence", str),
        provenance=reader.get("provenance", dict),
        numerics_version=numerics_version,
    )


def _known(reader: Fields, key: str, versions: tuple[int, ...]) -> int:
    found: int = reader.get(key, int)
    if found not in versions:
        known = " and ".join(map(str, versions))
        raise ModelUnsupported(f"{reader.path}: {key} is {found}; this edgellm reads {known}: update edgellm")
    return found


def _arch(reader: Fields) -> dict[str, int]:
    arch = reader.inner("arch")
    return {key: arch.get(key, int) for key in ("context", *(k for k in arch.data if k != "context"))}


def _entry(name: str, value: Any, path: Path) -> FileEntry:
    if not name or name in (".", "..") or any(c in name for c in "/\\:\0"):
        raise ModelCorrupt(f"{path}: file name {name!r} is not a plain name inside the model folder")
    entry = Fields(value, path, ModelCorrupt, f"files.{name}.")
    return FileEntry(entry.get("sha256", str), entry.get("size", int))


def _verify(path: Path, entry: FileEntry) -> None:
    again = "export or download the model again"
    try:
        raw = path.read_bytes()
    except OSError:
        raise ModelCorrupt(f"{path}: the manifest names this file and it cannot be read: {again}") from None
    if len(raw) != entry.size:
        raise ModelCorrupt(f"{path}: {len(raw)} bytes instead of {entry.size}: {again}")
    if hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise ModelCorrupt(f"{path}: checksum differs from the manifest's: {again}")
