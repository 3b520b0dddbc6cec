"""What the driver needs of a design folder: its files, and what its bitstream is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgellm import catalog, fields, files
from edgellm.bundle.hardware import Wanted
from edgellm.errors import BackendUnavailable, BundleMismatch
from edgellm.runtime.device import MODEL_FILE

BITSTREAM, HANDOFF = "accelerator.bit", "accelerator.hwh"
DESIGN = catalog.DESIGN
WAY_OUT = "build the design's bitstream with Vivado, or take a bundle that has one (docs/pynq.md)"


@dataclass(frozen=True, slots=True)
class Design:
    """An accelerator that was built: `folder` has its bitstream and hardware hand-off."""

    folder: Path
    part: str
    clock_mhz: float
    slots: int
    context: int
    vocab: int
    build: int

    @property
    def bitstream(self) -> Path:
        return self.folder / BITSTREAM

    @property
    def handoff(self) -> Path:
        return self.folder / HANDOFF

    def wanted(self) -> Wanted:
        """What bitstream and hand-off must be made for."""
        return Wanted(self.folder, self.part, self.clock_mhz, self.build)


def find(model: Path) -> Design:
    """The built design around a model folder.

    Raises: BackendUnavailable for what is missing, BundleMismatch for the design of another model.
    """
    folder = catalog.design_around(model)
    if folder is None:
        raise BackendUnavailable(
            f"{model} lies in no design folder, so there is no bitstream for it: {WAY_OUT}"
        )
    for name in (BITSTREAM, HANDOFF):
        if not (folder / name).is_file():
            raise BackendUnavailable(f"{folder / name} is missing: {WAY_OUT}")
    return _read(folder, model)


def _read(folder: Path, model: Path) -> Design:
    path = folder / DESIGN
    again = "compile the model again"
    told = fields.parse(path.read_bytes(), path, BackendUnavailable, again)
    wanted, found = told.inner("model").get("sha256", str), files.sha256(model / MODEL_FILE)
    if wanted != found:
        raise BundleMismatch(
            f"{path} is for a model with the checksum {wanted[:12]}, {model / MODEL_FILE} has {found[:12]}: {again}"
        )
    clock = told.data.get("clock_mhz")
    return Design(
        folder,
        told.get("part", str),
        float(clock if isinstance(clock, float) else told.get("clock_mhz", int)),
        told.get("slots", int),
        told.get("context", int),
        told.get("vocab", int),
        told.inner("shell").get("build", int),
    )
