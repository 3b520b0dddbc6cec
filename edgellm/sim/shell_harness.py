"""Simulations of a design in its AXI shell: registers by AXI4-Lite, and a memory that the three masters reach.

The memory belongs to the caller. Its channels stall at random (`stall`), a write is there when its response comes, and addresses
outside of it answer with an error, as the bus of a processing system does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm import cache
from edgellm.errors import SimulationError
from edgellm.sim import toolchain, verilator
from edgellm.sim.harness import inside, load_library

MODULE = "accelerator"
RESET_CYCLES = 8
_FOLDER = Path(__file__).parent
_ADAPTER, _HEADER = _FOLDER / "shell_adapter.cpp", _FOLDER / "shell_harness.h"
SHELL = verilator.Harness(
    _FOLDER / "shell_harness.cpp",
    (toolchain.HARNESS, toolchain.HARNESS_HEADER, _HEADER, _ADAPTER),
    lambda top, header, threads: _ADAPTER.read_text("ascii"),
)
_SIGNATURES: dict[str, tuple[str, str]] = {
    "board_new": ("p", "IpQQd"),
    "board_delete": ("-", "p"),
    "board_error": ("s", "p"),
    "board_cycle": ("Q", "p"),
    "board_interrupt": ("i", "p"),
    "board_fault": ("-", "pIQQ"),
    "board_reset": ("i", "pQ"),
    "board_run": ("i", "pQ"),
    "board_write": ("i", "pII"),
    "board_read": ("i", "pIp"),
}


class Break(IntFlag):
    """What the fabric does wrong."""

    NOTHING = 0
    BLOCKED = 1  # no event is taken any more: the accelerator comes to a halt
    DROPPED = 2  # one event never gets to memory, although it is answered
    FLIPPED = 4  # one event gets there with bits turned over
    SILENT = 8  # no interrupt arrives


@dataclass(frozen=True, slots=True)
class Fault:
    """`event`: the one that is hit, counted from 1 since the last reset; `flips`: its bits that turn over."""

    what: Break = Break.NOTHING
    event: int = 0
    flips: int = 0


def build(sources: Sequence[Path]) -> Path:
    """Library of module `accelerator`, from the cache or built into it. Raises: ToolMissing, SimulationError."""
    return verilator.build(MODULE, sources, harness=SHELL)


class ShellSimulation:
    """One accelerator in its shell; for one thread at a time."""

    def __init__(
        self,
        library: Path,
        run_dir: Path,
        memory: NDArray[np.uint8],
        base: int,
        *,
        seed: int = 1,
        stall: float = 0.0,
    ) -> None:
        """`memory` begins at address `base`; memory files are read relative to `run_dir`. Raises: SimulationError."""
        self._handle = None
        self._library = load_library(library, _SIGNATURES)
        cache.hold(library, self)
        self._memory = memory  # held as long as the library may write to it
        with inside(run_dir):
            arguments = (seed & 0xFFFFFFFF, memory.ctypes.data, base, memory.nbytes, stall)
            self._handle = self._library.edgellm_board_new(*arguments)
        self._check(1)
        self.reset()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.edgellm_board_delete(self._handle)

    def _call(self, name: str, *arguments: Any) -> Any:
        return getattr(self._library, f"edgellm_board_{name}")(self._handle, *arguments)

    def _check(self, done: int) -> None:
        if text := self._call("error").decode():
            raise SimulationError(text)
        if not done:
            raise SimulationError("the accelerator does not answer on its register interface")

    @property
    def cycle(self) -> int:
        """Clock cycles so far, resets included."""
        return int(self._call("cycle"))

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt, as far as it arrives."""
        return bool(self._call("interrupt"))

    def fault(self, fault: Fault) -> None:
        """Break something, or nothing any more."""
        self._call("fault", int(fault.what), fault.event, fault.flips)

    def reset(self) -> None:
        """Hold ap_rst_n low; the memory keeps what it holds, transactions are forgotten."""
        self._check(self._call("reset", RESET_CYCLES))

    def run(self, cycles: int) -> None:
        """Let time pass."""
        self._check(self._call("run", cycles))

    def read(self, offset: int) -> int:
        """A register."""
        value = ctypes.c_uint32()
        self._check(self._call("read", offset, ctypes.byref(value)))
        return int(value.value)

    def write(self, offset: int, value: int) -> None:
        """A register."""
        self._check(self._call("write", offset, value))
