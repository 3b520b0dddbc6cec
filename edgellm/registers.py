"""Registers and rings of the accelerator's host interface: one place for the compiler, the driver and the simulated board.

The map is that of hw/rtl/host_registers.sv; docs/hardware.md, "Host interface", says what each register does.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

VLNV = "edgellm:edgellm:accelerator:1.0"
IDENTITY_VALUE = int.from_bytes(b"EGLM", "little")
VERSION_VALUE = 1
BYTES = 256  # of the register map
ADDRESS_BITS = 40  # of the addresses in memory
PAGE = 4096  # rings begin at multiples of it


class Register(IntEnum):
    """Byte offsets."""

    IDENTITY = 0x00
    VERSION = 0x04
    BUILD = 0x08
    SLOTS = 0x0C
    CONTROL = 0x10
    STATUS = 0x14
    SEEN = 0x18
    CYCLES = 0x20
    CYCLES_HIGH = 0x24
    COMMANDS = 0x40
    EVENTS = 0x60
    LOGITS = 0x80


class Ring(IntEnum):
    """Byte offsets inside COMMANDS, EVENTS and LOGITS."""

    ADDRESS = 0x00
    ADDRESS_HIGH = 0x04
    LOG2_ENTRIES = 0x08
    HOST_COUNT = 0x0C
    DEVICE_COUNT = 0x10


class Control(IntFlag):
    """Bits of CONTROL."""

    RUN = 1
    RESET = 2
    INTERRUPT = 4


class Status(IntFlag):
    """Bits of STATUS."""

    IDLE = 1
    OUT_OF_RESET = 2
    INTERRUPT = 4
    COMMANDS_ERROR = 8
    EVENTS_ERROR = 16
    LOGITS_ERROR = 32
