"""The system around the accelerator on a board with processors: cells, addresses, parameters of the processing system.

    ps ── to_registers ── accelerator.s_axi            accelerator.m_* ── to_memory ── ps ── DDR
                      └── irq_controller               accelerator.interrupt ── irq_controller ── ps

Vivado's project (vivado) and the hand-off of the simulated board (hwh) are both written from this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgellm import registers
from edgellm.compiler import shell
from edgellm.compiler.boards import ProcessingSystem
from edgellm.registers import Register, Ring

NAME = "system"
PS, ACCELERATOR, INTERRUPTS = "ps", shell.MODULE, "irq_controller"
INTERRUPTS_VLNV = "xilinx.com:ip:axi_intc:4.1"  # PYNQ waits for interrupts behind such a one only
INTERRUPTS_OFFSET, INTERRUPTS_BYTES = 0x1_0000, 0x1_0000
BLOCK = "Reg"
RINGS = (Register.COMMANDS, Register.EVENTS, Register.LOGITS)
WRITTEN = (Register.CONTROL, Register.SEEN)


@dataclass(frozen=True, slots=True)
class Segment:
    """Addresses of registers: those of an interface of a cell."""

    cell: str
    interface: str
    base: int
    size: int  # bytes

    @property
    def last(self) -> int:
        return self.base + self.size - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A register as tools name it."""

    name: str
    offset: int  # bytes
    access: str  # "read-only" or "read-write"


def segments(ps: ProcessingSystem) -> tuple[Segment, Segment]:
    """Registers of the accelerator and of the interrupt controller."""
    base = ps.registers_address
    return (
        Segment(ACCELERATOR, shell.REGISTERS, base, registers.PAGE),
        Segment(INTERRUPTS, "s_axi", base + INTERRUPTS_OFFSET, INTERRUPTS_BYTES),
    )


def fields() -> Iterator[Field]:
    """Registers of the accelerator in ascending order; those of a ring carry its name."""
    for register in Register:
        if register not in RINGS:
            yield Field(register.name, register, "read-write" if register in WRITTEN else "read-only")
            continue
        for part in Ring:
            access = "read-only" if part == Ring.DEVICE_COUNT else "read-write"
            yield Field(f"{register.name}_{part.name}", register + part, access)


def parameters(ps: ProcessingSystem) -> dict[str, str]:
    """What the processing system is told: the ports of the board file are on, the others off."""
    ip = ps.ip
    told: dict[str, str] = {}
    for chosen, ports in ((ps.registers_port, ip.register_ports), (ps.memory_port, ip.memory_ports)):
        told |= {port.enable: str(int(name == chosen)) for name, port in ports.items()}
        if ports[chosen].width:
            told[ports[chosen].width] = str(ports[chosen].bits)
    clock = ip.clocks[ps.clock]
    for line in (clock, ip.resets[ps.reset], ip.interrupts[ps.interrupt]):
        told |= line.parameters
    return {**told, clock.frequency: str(ps.clock_mhz)}
