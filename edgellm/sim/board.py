"""A board without a board: a PYNQ device whose logic is the accelerator in Verilator, served through PYNQ's own extension point.

    EDGELLM_SIMULATED_BOARD=DESIGN edgellm generate DESIGN/model "..." --backend fpga

PYNQ asks every subclass of its Device what there is; this one answers when the variable names a design folder. Drivers do not see
the difference: memory is not coherent, addresses lie above 4 GiB, clocks are registers, and interrupts go through the
controller of the design. Time passes as the host does something.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from pynq import Clocks
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser

from edgellm import registers
from edgellm.sim.board_fabric import STALL, Fabric, Places
from edgellm.sim.board_interrupts import SimulatedUio

VARIABLE = "EDGELLM_SIMULATED_BOARD"
HANDOFF = "accelerator.hwh"
INTERRUPT_CONTROLLER = "xilinx.com:ip:axi_intc:"


class SimulatedBuffer(PynqBuffer):
    """Its memory belongs to Python."""

    def freebuffer(self) -> None:
        """Nothing: the array frees itself."""


class SimulatedBoard(Device):
    """The board of one design folder; any bitstream that is loaded on it becomes that design's accelerator."""

    _probe_priority_ = 10

    @classmethod
    def _probe_(cls) -> list[SimulatedBoard]:
        folder = os.environ.get(VARIABLE)
        return [cls(Path(folder))] if folder else []

    @classmethod
    def install(cls, folder: Path, stall: float = STALL, seed: int = 1) -> SimulatedBoard:
        """Make a board the active device of this process, in place of whatever was."""
        board = cls(folder, stall, seed)
        Device.active_device = board
        Device._devices = [board]
        if hasattr(Clocks, "_real_instance"):
            del Clocks._real_instance  # PYNQ keeps those of the first device it saw
        Clocks.set_device(board)
        return board

    def __init__(self, folder: Path, stall: float = STALL, seed: int = 1) -> None:
        super().__init__(f"edgellm-simulated-{folder}")
        parser = _metadata(folder / HANDOFF)
        zynq_7000 = parser.family_ps == "processing_system7"
        self.name, self.arch = "edgellm simulated board", "armv7l" if zynq_7000 else "aarch64"
        self.capabilities = {"MEMORY_MAPPED": True, "REGISTER_RW": False, "CALLABLE": False}
        self.fabric = Fabric(folder, _places(parser, zynq_7000), stall, seed)
        SimulatedUio.plug(self.fabric, parser.interrupt_controllers)

    # ---- registers
    def mmap(self, base_addr: int, length: int) -> Any:
        """Registers as an array."""
        return self.fabric.map(base_addr, length)

    # ---- memory
    def allocate(self, shape: Any, dtype: Any = "u4", **options: Any) -> Any:
        """A buffer; what it holds on either side is random."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        dram = self.fabric.dram
        address, host = dram.allocate(size), dram.garbage(size)
        buffer = SimulatedBuffer(
            shape, kind, buffer=host, device=self, device_address=address, bo=address, coherent=False
        )
        weakref.finalize(buffer, dram.free, address, size)
        return buffer

    def flush(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """The host's caches are written back."""
        with self.fabric.lock:
            self.fabric.dram.from_host(bo + offset, ptr, size)
            self.fabric.pass_time()

    def invalidate(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """The host's caches are dropped."""
        with self.fabric.lock:
            self.fabric.pass_time()
            self.fabric.dram.to_host(bo + offset, ptr, size)

    # ---- bitstream
    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What PYNQ makes of the hardware hand-off beside a bitstream."""
        return _metadata(Path(bitfile_name).with_suffix(".hwh"))

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Nothing is kept."""

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load a bitstream."""
        self.fabric.program()
        self.post_download(bitstream, parser, self.name)


def _metadata(path: Path) -> Any:
    return RuntimeMetadataParser(Metadata(str(path)))


def _places(parser: Any, zynq_7000: bool) -> Places:
    def address(vlnv: str) -> int | None:
        found = [
            ip["phys_addr"] for ip in parser.ip_dict.values() if str(ip.get("type", "")).startswith(vlnv)
        ]
        return found[0] if found else None

    accelerator = address(registers.VLNV)
    if accelerator is None:
        raise ValueError(f"no {registers.VLNV} in the hardware hand-off of the simulated board")
    return Places(accelerator, address(INTERRUPT_CONTROLLER), zynq_7000)
