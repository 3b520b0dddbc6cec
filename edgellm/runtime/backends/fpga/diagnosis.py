"""What is right and wrong with a board, step by step: for `edgellm doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgellm.bundle import hardware
from edgellm.errors import EdgeLLMError
from edgellm.registers import Register
from edgellm.runtime.backends.fpga import board, link
from edgellm.runtime.backends.fpga import design as designs
from edgellm.runtime.backends.fpga.board import Accelerator
from edgellm.runtime.backends.fpga.design import Design

COUNTED_SECONDS = 0.05
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was looked at, whether it is well, and what was found or how to mend it."""

    subject: str
    well: bool
    text: str


def platform() -> list[Finding]:
    """What PYNQ needs."""
    try:
        version = importlib.metadata.version("pynq")
    except importlib.metadata.PackageNotFoundError:
        return [Finding("PYNQ", False, "not installed: pip install 'edgellm[pynq]'")]
    devices = _devices()
    return [Finding("PYNQ", True, version), *([] if devices.well else _rights()), devices]


def _rights() -> Iterator[Finding]:
    """What a board without devices may lack."""
    xrt = os.environ.get(board.XRT)
    yield Finding(board.XRT, bool(xrt), xrt or f"not set: export {board.XRT}=/usr")
    root = os.geteuid() == 0
    yield Finding(
        "root", root, "yes" if root else "no: run as root (sudo -E), for /dev/mem and the FPGA manager"
    )
    there = board.FPGA_MANAGER.exists()
    yield Finding("FPGA manager", there, f"{board.FPGA_MANAGER}{'' if there else ' is missing'}")


def _devices() -> Finding:
    try:
        names = [str(device.name) for device in board.devices()]
    except EdgeLLMError as error:
        return Finding("devices", False, str(error))
    return Finding("devices", bool(names), ", ".join(names) or board.absent())


def design(model: Path) -> list[Finding]:
    """Files of the design around a model folder, and the board with them; ends with the first step that fails."""
    found: list[Finding] = []
    try:
        built = _step(
            found, "design", lambda: designs.find(model), lambda d: f"{d.folder}, build {d.build:08x}"
        )
        _step(found, "files", lambda: _files(built), lambda text: text)
        loaded = _step(found, "bitstream", lambda: board.load(built), _loaded)
        _step(
            found,
            "clock",
            lambda: _count(loaded),
            lambda mhz: f"counted {mhz:.3g} MHz, made for {built.clock_mhz:g}",
        )
        link.stop(loaded.registers)
    except EdgeLLMError as error:
        found[-1] = Finding(found[-1].subject, False, str(error))
    return found


def _step(found: list[Finding], subject: str, do: Callable[[], T], tell: Callable[[T], str]) -> T:
    found.append(Finding(subject, False, ""))
    result = do()
    found[-1] = Finding(subject, True, tell(result))
    return result


def _files(built: Design) -> str:
    wanted = built.wanted()
    bitstream = hardware.check_bitstream(built.bitstream, wanted)
    clock, _ = hardware.check_handoff(built.handoff, wanted)
    return f"{bitstream.design} for {bitstream.part}, accelerator at {clock.mhz:g} MHz"


def _loaded(loaded: Accelerator) -> str:
    clocks = ", ".join(f"clock {index} at {mhz:g} MHz" for index, mhz in loaded.clocks.items())
    how = "interrupts" if loaded.interrupt else "no interrupts, polling"
    return f"the accelerator answers: {loaded.registers.read(Register.SLOTS)} slots, {clocks}, {how}"


def _count(loaded: Accelerator) -> float:
    """MHz, by the accelerator's own counter."""
    start, before = time.perf_counter(), loaded.registers.cycles()
    time.sleep(COUNTED_SECONDS)
    return (loaded.registers.cycles() - before) / (time.perf_counter() - start) / 1e6
