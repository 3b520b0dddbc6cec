"""`bundle.json`: what a bundle holds, for which hardware, and the checksum of every member."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgellm import fields
from edgellm.bundle import archive
from edgellm.errors import BundleCorrupt, BundleUnsupported
from edgellm.fields import Fields
from edgellm.manifest import NUMERICS_VERSIONS, FileEntry

FILE, SIGNATURE = "bundle.json", "bundle.sig"
FORMAT = 1
BYTES_LIMIT = 1 << 20  # of bundle.json
AGAIN = "get the bundle again"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Model:
    """The model inside: its name, and the checksum of its integer ONNX file."""

    name: str
    sha256: str
    numerics_version: int
    licence: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the accelerator's clock comes from, and its frequency in MHz."""

    source: str
    mhz: float


@dataclass(frozen=True, slots=True)
class Bitstream:
    """What the header of the .bit file says about its making."""

    design: str
    tool: str
    part: str
    date: str
    time: str


@dataclass(frozen=True, slots=True)
class Target:
    """The hardware that the accelerator is for. `build` identifies the design in its register BUILD.

    `registers` is the map of the host interface, `blocks` the VLNVs of the IP in the hardware hand-off. `bitstream` is
    null where the bundle holds RTL alone.
    """

    board: str
    part: str
    clock: Clock
    slots: int
    build: int
    blocks: tuple[str, ...]
    registers: Mapping[str, Any]
    bitstream: Bitstream | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of bundle.json; `target` is null for a model alone."""

    name: str
    note: str
    model: Model
    target: Target | None
    provenance: Mapping[str, Any]
    members: Mapping[str, FileEntry] = field(default_factory=dict)
    format: int = FORMAT


def render(manifest: Manifest) -> bytes:
    """The bytes of bundle.json."""
    return (json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True) + "\n").encode()


def parse(raw: bytes, path: Path) -> Manifest:
    """Manifest from its bytes; `path` of the bundle is for messages. Raises BundleCorrupt, BundleUnsupported."""
    top = fields.parse(raw, f"{path}: {FILE}", BundleCorrupt, AGAIN)
    _check_format(top)
    top.only("format", "name", "note", "model", "target", "provenance", "members")
    target = top.optional("target")
    return Manifest(
        name=top.get("name", str),
        note=top.get("note", str),
        model=_model(top.inner("model")),
        target=_target(target) if target else None,
        provenance=top.get("provenance", dict),
        members=_members(top.inner("members")),
    )


def _check_format(top: Fields) -> None:
    found = top.get("format", int)
    if found > FORMAT:
        raise BundleUnsupported(f"{top.path}: format {found}; this edgellm reads {FORMAT}: update edgellm")
    if found < FORMAT:
        raise BundleUnsupported(
            f"{top.path}: format {found}; this edgellm reads {FORMAT}: run `edgellm bundle` on the design again"
        )


def _model(data: Fields) -> Model:
    data.only("name", "sha256", "numerics_version", "licence")
    version = data.get("numerics_version", int)
    if version not in NUMERICS_VERSIONS:
        known = " and ".join(map(str, NUMERICS_VERSIONS))
        way = "update edgellm" if version > max(NUMERICS_VERSIONS) else "export the model again"
        raise BundleUnsupported(f"{data.path}: numerics version {version}; this edgellm reads {known}: {way}")
    return Model(data.get("name", str), _sha256(data), version, data.get("licence", str))


def _target(data: Fields) -> Target:
    data.only(*(field.name for field in dataclasses.fields(Target)))
    bitstream = data.optional("bitstream")
    return Target(
        board=data.get("board", str),
        part=data.get("part", str),
        clock=_clock(data.inner("clock")),
        slots=data.get("slots", int),
        build=data.get("build", int),
        blocks=tuple(data.list_of("blocks", str)),
        registers=data.get("registers", dict),
        bitstream=_bitstream(bitstream) if bitstream else None,
    )


def _clock(data: Fields) -> Clock:
    data.only("source", "mhz")
    mhz = data.get("mhz", float)
    if not (math.isfinite(mhz) and mhz > 0):
        raise BundleCorrupt(f"{data.path}: field {data.prefix}mhz must be a positive number, not {mhz}")
    return Clock(data.get("source", str), mhz)


def _bitstream(data: Fields) -> Bitstream:
    names = [field.name for field in dataclasses.fields(Bitstream)]
    data.only(*names)
    return Bitstream(*(data.get(name, str) for name in names))


def _members(data: Fields) -> dict[str, FileEntry]:
    for name in data.data:
        if not archive.is_name(name) or name in (FILE, SIGNATURE):
            raise BundleCorrupt(f"{data.path}: member {name!r} has a name that bundles refuse: {AGAIN}")
    return {name: _entry(data.inner(name)) for name in data.data}


def _entry(data: Fields) -> FileEntry:
    data.only("sha256", "size")
    return FileEntry(_sha256(data), data.get("size", int))


def _sha256(data: Fields) -> str:
    text: str = data.get("sha256", str)
    if not _SHA256.fullmatch(text):
        raise BundleCorrupt(f"{data.path}: field {data.prefix}sha256 must be 64 hex digits: {AGAIN}")
    return text
