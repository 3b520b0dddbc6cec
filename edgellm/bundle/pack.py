"""Making a bundle of a model folder, with the design around it if there is one. The same input gives the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import catalog, fields, files, manifest, registers
from edgellm._version import __version__
from edgellm.bundle import archive, bitfile, hardware, reader, signature
from edgellm.bundle import manifest as contents
from edgellm.bundle.hardware import Wanted
from edgellm.bundle.manifest import FILE, SIGNATURE, Bitstream, Clock, Manifest, Model, Target
from edgellm.errors import BundleCorrupt, BundleError, BundleMismatch, UsageError
from edgellm.sim import design as designs
from edgellm.sim.design import Design

BITSTREAM, HANDOFF, REGISTERS = "accelerator.bit", "accelerator.hwh", "registers.json"
MODEL_FILE, CARD = "model.onnx", "README.md"
FOLDERS = ("rtl", "sim", "mem")  # of a design, everything in them
REPORTS = (
    "utilisation.rpt",
    "timing.rpt",
    "clocks.rpt",
)  # Vivado's, beside the bitstream; in vivado/ of a bundle
AGAIN = "compile the model again"
PATTERNS = (
    "design.json",
    "folding.json",
    REGISTERS,
    "report.*",
    "finn.onnx",
    "*.f",
    "*.v",
    "*.sv",
    "vivado/*.rpt",
)


@dataclass(frozen=True, slots=True)
class Additions:
    """What goes into a bundle beside the folder: Vivado's result, a remark, and the key that signs."""

    bitstream: Path | None = None
    handoff: Path | None = None
    note: str | None = None
    key: Path | None = None


NOTHING = Additions()


def pack(source: str | Path, output: Path, additions: Additions = NOTHING) -> Manifest:
    """Write the bundle of a model, by name, folder, design folder or other bundle, to `output`, all at once.

    Raises ModelNotFound, ModelCorrupt, SimulationError for a damaged design; BundleMismatch, BundleCorrupt for a bitstream or
    .hwh that does not belong to it; BundleUntrusted for the key; UsageError, also for an output that is no bundle.
    """
    _check_output(output)
    model = catalog.find(source)
    design = catalog.design_around(model)
    content = {f"{reader.MODEL}/{name}": path for name, path in _model_files(model)}
    if design is not None:
        content |= _design_files(design, additions)
    elif additions.bitstream or additions.handoff:
        raise UsageError(
            f"{source} is a model without a design, and a bitstream is the result of one: run `edgellm compile` first"
        )
    described = _describe(model, design, content, additions.note)
    raw = contents.render(described)
    head: list[tuple[str, bytes | Path]] = [(FILE, raw)]
    if additions.key is not None:
        head.append((SIGNATURE, signature.sign(raw, additions.key)))
    with reader.room(output, "name a file elsewhere"), files.new_file(output) as file:
        archive.write(file, [*head, *sorted(content.items())])
        reader.Bundle(file, output, None)  # notices what changed meanwhile
    return described


def _check_output(output: Path) -> None:
    """Only an earlier bundle is replaced: a slip of the pen must not cost a bitstream."""
    if os.path.lexists(output) and (output.is_dir() or output.suffix != reader.SUFFIX):
        raise UsageError(
            f"{output} exists and is no bundle (X{reader.SUFFIX}): name a file that does not exist"
        )


def _model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    named = manifest.read(folder).files
    for name in sorted({manifest.FILE, *named, *([CARD] if (folder / CARD).is_file() else [])}):
        yield name, folder / name


def _design_files(folder: Path, additions: Additions) -> dict[str, Path]:
    """Members of the design, with the bitstream of this call or, of an unpacked bundle, its own."""
    patterns = (*PATTERNS, *(f"{name}/**/*" for name in FOLDERS), HANDOFF)
    found = {p.relative_to(folder).as_posix(): p for pattern in patterns for p in folder.glob(pattern)}
    if _is_real(folder / BITSTREAM):
        found[BITSTREAM] = folder / BITSTREAM
    found |= _vivados(additions)
    regular = {name: path for name, path in found.items() if not path.is_dir() or path.is_symlink()}
    for name, path in regular.items():
        if path.is_symlink() and name not in (BITSTREAM, HANDOFF):
            raise BundleError(f"{path} is a link, and a bundle holds files alone: put the file there")
    return regular


def _is_real(bitstream: Path) -> bool:
    """A simulated board puts a stand-in where the bitstream would be, which no board can take."""
    return bitstream.is_file() and bitfile.read(bitstream).design != bitfile.STAND_IN


def _vivados(additions: Additions) -> dict[str, Path]:
    """The result of Vivado: a .bit, and the .hwh, which lies beside it unless told otherwise."""
    if additions.bitstream is None:
        if additions.handoff is not None:
            raise UsageError("--hwh describes a bitstream: give it with --bitstream")
        return {}
    handoff = additions.handoff or additions.bitstream.with_suffix(".hwh")
    for path in (additions.bitstream, handoff):
        if not path.is_file():
            raise UsageError(
                f"{path}: no such file: give --bitstream X.bit and --hwh X.hwh, as Vivado wrote them"
            )
    if not _is_real(additions.bitstream):
        raise BundleMismatch(
            f"{additions.bitstream} is of a simulated board: give the bitstream that Vivado made"
        )
    reports = {f"vivado/{name}": additions.bitstream.with_name(name) for name in REPORTS}
    there = {name: path for name, path in reports.items() if path.is_file()}
    return {BITSTREAM: additions.bitstream, HANDOFF: handoff, **there}


def _describe(model: Path, design: Path | None, content: Mapping[str, Path], note: str | None) -> Manifest:
    about = manifest.read(model)
    if MODEL_FILE not in about.files:
        raise BundleError(f"{model}: its {manifest.FILE} names no {MODEL_FILE}: export the model again")
    target = _target(designs.load(design), content) if design else None
    before = _before(model.parent / FILE)
    facts = Model(about.name, about.files[MODEL_FILE].sha256, about.numerics_version, about.licence)
    return Manifest(
        name=f"{about.name}-{target.board}" if target else about.name,
        note=before if note is None else note,
        model=facts,
        target=target,
        provenance=_provenance(about, design),
        members={name: manifest.describe(path) for name, path in sorted(content.items())},
    )


def _before(path: Path) -> str:
    """The note of the bundle that was unpacked here."""
    return contents.parse(path.read_bytes(), path).note if path.is_file() else ""


def _provenance(about: manifest.Manifest, design: Path | None) -> dict[str, Any]:
    """With what the parts were made, as far as they say."""
    made = json.loads((design / designs.FILE).read_text("utf-8")).get("tools", {}) if design else {}
    return {"edgellm": __version__, "design": made, "model": dict(about.provenance)}


def _target(design: Design, content: Mapping[str, Path]) -> Target:
    """Of a design whose model, bitstream and hand-off belong together."""
    _check_model(design, content[reader.MODEL_FILE])
    _check_sources(design, content)
    wanted = Wanted(design.folder, design.part, design.clock_mhz, design.shell.build)
    clock = Clock(hardware.ASSUMED, float(design.clock_mhz))
    blocks: tuple[str, ...] = (registers.VLNV,)
    if HANDOFF in content:
        clock, blocks = hardware.check_handoff(content[HANDOFF], wanted)
    bitstream: Bitstream | None = None
    if BITSTREAM in content:
        if HANDOFF not in content:
            raise BundleMismatch(f"{content[BITSTREAM]} has no .hwh: the driver finds the registers by it")
        bitstream = hardware.check_bitstream(content[BITSTREAM], wanted)
    return Target(
        board=design.board,
        part=design.part,
        clock=clock,
        slots=design.slots,
        build=design.shell.build,
        blocks=blocks,
        registers=fields.parse(
            content[REGISTERS].read_bytes(), content[REGISTERS], BundleCorrupt, AGAIN
        ).data,
        bitstream=bitstream,
    )


def _check_sources(design: Design, content: Mapping[str, Path]) -> None:
    for name in (*design.sources, *design.shell.sources, REGISTERS):
        if name not in content:
            raise BundleError(
                f"{design.folder / name}: the design needs this file and it is not there: {AGAIN}"
            )


def _check_model(design: Design, path: Path) -> None:
    if (found := files.sha256(path)) != design.model["sha256"]:
        raise BundleMismatch(
            f"{path} has SHA-256 {found[:16]}..., the design around it was made for {design.model['sha256'][:16]}...: {AGAIN}"
        )
