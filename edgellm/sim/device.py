"""Back end `sim`: the accelerator's RTL in Verilator behind the same protocol as every other back end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm import cache, catalog, files, manifest, resources
from edgellm.errors import BackendFailed, SimulationError
from edgellm.numerics import onnxfile
from edgellm.runtime import words
from edgellm.runtime.backends.streamed import StreamedDevice
from edgellm.runtime.device import MODEL_FILE, Device
from edgellm.sim import design as designs
from edgellm.sim.accelerator import Accelerator

DEFAULT_BOARD = "aup-zu3"


class SimulatedLink:
    """An `Accelerator` as a link; see `streamed.Link`. Simulated time does not heed timeouts."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator: Accelerator | None = accelerator
        self._logits: dict[int, NDArray[np.int16]] = {}

    @property
    def accelerator(self) -> Accelerator:
        """What is linked; BackendFailed after `close`."""
        if self._accelerator is None:
            raise BackendFailed("the simulated accelerator is closed: open the model again")
        return self._accelerator

    def send(self, command: Sequence[int]) -> None:
        """Queue command words."""
        self.accelerator.send(command)

    def receive(self, timeout: float) -> Sequence[words.Event]:
        """Run until there is an event."""
        return self.accelerator.wait()

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab], out before the event."""
        for tag, logits in self.accelerator.shown():
            self._logits[words.tag_slot(tag)] = logits
        return self._logits.pop(slot)

    def cycle(self) -> int:
        """Clock cycles so far."""
        return self.accelerator.cycle

    def close(self) -> None:
        """Free the simulator."""
        self._accelerator = None


class SimulatedDevice(StreamedDevice):
    """The accelerator's streams behind the protocol, with counters of cycles."""

    def __init__(self, design: Path, finn_core: bool = False) -> None:
        accelerator = Accelerator(design, finn_core=finn_core)
        self.design, self._simulated = accelerator.design, SimulatedLink(accelerator)
        model = onnxfile.load(self.design.model_folder / MODEL_FILE)
        super().__init__("sim", self._simulated, model.arch, model.logit_step, self.design.slots)
        self.traits = replace(self.traits, clock_hz=self.design.clock_mhz * 1e6)

    @property
    def accelerator(self) -> Accelerator:
        """The device inside; BackendFailed after `close`."""
        return self._simulated.accelerator


def open_device(folder: Path) -> Device:
    """Open the design that the model folder lies in; without one, compile for the default board, kept in the cache."""
    if (around := catalog.design_around(folder)) is not None:
        return SimulatedDevice(_fitting(around))
    from edgellm.compiler.compile import compile_model

    def build(work: Path) -> None:
        compile_model(folder, DEFAULT_BOARD, work / "design")

    return SimulatedDevice(cache.fetch("design", _key(folder), build) / "design")


def _fitting(folder: Path) -> Path:
    """A design folder whose model is the one that it was compiled from."""
    design = designs.load(folder)
    if files.sha256(design.model_folder / MODEL_FILE) != design.model["sha256"]:
        raise SimulationError(
            f"{folder}: compiled from another model than lies in it: compile the model again"
        )
    return folder


def _key(folder: Path) -> str:
    """Changes with the model and with everything that turns it into RTL."""
    digest = hashlib.sha256(DEFAULT_BOARD.encode())
    digest.update(
        json.dumps({n: e.sha256 for n, e in manifest.read(folder).files.items()}, sort_keys=True).encode()
    )
    compiler = resources.PACKAGE / "compiler"
    for path in sorted(
        [
            *compiler.rglob("*.py"),
            resources.PACKAGE / "registers.py",
            *resources.rtl().rglob("*.sv"),
            *resources.boards().glob("*.toml"),
        ]
    ):
        digest.update(path.name.encode() + files.sha256(path).encode())
    return digest.hexdigest()[:32]
