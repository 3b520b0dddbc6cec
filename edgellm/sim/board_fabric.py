"""The simulated board below PYNQ: addresses, memory, the accelerator, and time that passes as the host does something."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgellm import cache
from edgellm.errors import SimulationError
from edgellm.registers import PAGE
from edgellm.sim import design as designs
from edgellm.sim import shell_harness
from edgellm.sim.board_memory import HIGH, LOW, Dram
from edgellm.sim.board_registers import ULTRA, ZYNQ, InterruptController, Mapped, Plain, Registers
from edgellm.sim.shell_harness import Fault, ShellSimulation

STALL = 0.1  # chance of a channel to do nothing in a cycle
LOOK_CYCLES = 64  # that pass while the host flushes or looks at its memory


@dataclass(frozen=True, slots=True)
class Places:
    """Where the board's own hardware hand-off puts things."""

    accelerator: int
    interrupts: int | None
    zynq_7000: bool


class Fabric:
    """Safe for threads: the host's, and that of its interrupts."""

    def __init__(self, folder: Path, places: Places, stall: float = STALL, seed: int = 1) -> None:
        self.design = designs.load(folder)
        cache.hold(folder, self)
        self.dram = Dram(LOW if places.zynq_7000 else HIGH, seed=seed)
        self.interrupts = InterruptController()
        self.accesses: Counter[str] = Counter()  # to registers of the logic, by what was accessed
        self.woken: Callable[[], None] = lambda: None  # called when the processor is interrupted
        self._clocks = {base: Plain(values) for base, values in (ZYNQ if places.zynq_7000 else ULTRA).items()}
        self._places, self._stall, self._seed = places, stall, seed
        self._lock = threading.RLock()
        self._fault = Fault()
        self._simulation: ShellSimulation | None = None

    def program(self) -> None:
        """A bitstream is loaded: the accelerator of this board's design starts from reset, whatever it was called."""
        with self._lock:
            if self._simulation is None:
                library = shell_harness.build(self.design.shell_files())
                self._simulation = ShellSimulation(
                    library,
                    self.design.folder,
                    self.dram.data,
                    self.dram.base,
                    seed=self._seed,
                    stall=self._stall,
                )
            self._simulation.reset()
            self._simulation.fault(self._fault)

    def fault(self, fault: Fault) -> None:
        """Break something in the fabric, from now on."""
        with self._lock:
            self._fault = fault
            if self._simulation is not None:
                self._simulation.fault(fault)

    def freeze_clocks(self, frozen: bool) -> None:
        """Clock controllers that take no write any more."""
        for block in self._clocks.values():
            block.frozen = frozen

    @property
    def simulation(self) -> ShellSimulation:
        """The accelerator. Raises: SimulationError before a bitstream is loaded."""
        if self._simulation is None:
            raise SimulationError("no bitstream is loaded on the simulated board")
        return self._simulation

    def pass_time(self, cycles: int = LOOK_CYCLES) -> None:
        """The accelerator goes on while the host does something else."""
        with self._lock:
            if self._simulation is None:
                return
            self._simulation.run(cycles)
            self.interrupts.input(self._simulation.interrupt)
            if self.interrupts.output:
                self.woken()

    def map(self, address: int, length: int) -> Mapped:
        """Registers from an address on. Raises: OSError where there are none."""
        for base, block in self._clocks.items():
            if base <= address and address + length <= base + 0x1000:
                return Mapped.of(_Counted(self, None, block, address - base), length)
        if address == self._places.accelerator and length <= PAGE:
            return Mapped.of(_Counted(self, "accelerator", _Accelerator(self), 0), length)
        if address == self._places.interrupts:
            return Mapped.of(_Counted(self, "interrupts", self.interrupts, 0), length)
        raise OSError(f"bus error: nothing answers at address {address:#x} of the simulated board")

    def access(self, name: str | None) -> None:
        """The host has accessed a register: that takes time, and is counted but for those of the processing system."""
        if name is not None:
            self.accesses[name] += 1

    @property
    def lock(self) -> threading.RLock:
        return self._lock


class _Accelerator:
    """Its registers, over AXI4-Lite."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def read(self, offset: int) -> int:
        return self._fabric.simulation.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._fabric.simulation.write(offset, value)


class _Counted:
    """A block of registers as the host reaches it."""

    def __init__(self, fabric: Fabric, name: str | None, block: Registers, offset: int) -> None:
        self._fabric, self._name, self._block, self._offset = fabric, name, block, offset

    def read(self, offset: int) -> int:
        with self._fabric.lock:
            self._fabric.access(self._name)
            return self._block.read(offset + self._offset)

    def write(self, offset: int, value: int) -> None:
        with self._fabric.lock:
            self._fabric.access(self._name)
            self._block.write(offset + self._offset, value)
