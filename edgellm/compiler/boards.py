"""Boards an accelerator can be compiled for: `hw/boards/*.toml`, one file each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import tomllib

from edgellm import resources
from edgellm.compiler.processing_system import KINDS, Kind
from edgellm.errors import BoardUnknown, ConfigError

DSP_KINDS = ("DSP48E1", "DSP48E2", "MULT18")
PS = "ps"  # the table of a board's processing system
REGISTERS_BYTES = 1 << 17  # behind registers_address: the accelerator's and the interrupt controller's


@dataclass(frozen=True, slots=True)
class ProcessingSystem:
    """How the accelerator is joined to the processors of a board. Names are those of Vivado's IP (processing_system)."""

    kind: str
    board_part: str  # Vivado's name of the board with its preset
    registers_port: str  # the accelerator's registers are behind it,
    registers_address: int  # here
    memory_port: str  # it leads to the rings in the host's memory, without coherence
    memory_bytes: int  # of it that are reached, from address 0 on
    clock: str  # the reference of the accelerator's clock
    clock_mhz: int  # of the reference
    reset: str
    interrupt: str

    @property
    def ip(self) -> Kind:
        """What belongs to these ports."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Board:
    """What a board's FPGA holds. Memories count as 18-kbit blocks; a MULT18 has no packing of products."""

    name: str
    title: str
    part: str
    dsp: str  # kind of multiplier block, one of DSP_KINDS
    lut: int
    ff: int
    bram18: int
    uram: int
    dsps: int
    clock_mhz: int  # assumed until someone has met timing on it
    ps: ProcessingSystem | None = None  # none where the FPGA has no processors

    @property
    def clock_ns(self) -> float:
        return 1000.0 / self.clock_mhz


def names(folder: Path | None = None) -> list[str]:
    """Known boards in alphabetical order."""
    return sorted(path.stem for path in (folder or resources.boards()).glob("*.toml"))


def load(name: str, folder: Path | None = None) -> Board:
    """The board of that name. Raises BoardUnknown, ConfigError."""
    known = names(folder)
    if name not in known:
        raise BoardUnknown(f"no board {name!r}: known boards are {', '.join(known)}")
    return read((folder or resources.boards()) / f"{name}.toml")


def read(path: Path) -> Board:
    """Read and check one board file. Raises ConfigError naming file, field and value."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path.name}: not a readable TOML file ({error})") from error
    inner = table.pop(PS, None)
    _check_fields(path.name, Board, table)
    board = Board(**table, ps=None if inner is None else _processing_system(path.name, inner))
    if board.dsp not in DSP_KINDS:
        raise ConfigError(f"{path.name}: dsp is {board.dsp!r}, must be one of {', '.join(DSP_KINDS)}")
    if board.name != path.stem:
        raise ConfigError(f"{path.name}: name is {board.name!r}, must be the file's name {path.stem!r}")
    return board


def _processing_system(file: str, table: object) -> ProcessingSystem:
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {PS} is {table!r}, must be a table")
    _check_fields(file, ProcessingSystem, table)
    ps = ProcessingSystem(**table)
    _check_known(file, "kind", ps.kind, KINDS)
    named = {
        "registers_port": ps.ip.register_ports,
        "memory_port": ps.ip.memory_ports,
        "clock": ps.ip.clocks,
        "reset": ps.ip.resets,
        "interrupt": ps.ip.interrupts,
    }
    for key, known in named.items():
        _check_known(file, key, getattr(ps, key), known)
    _check_addresses(file, ps)
    return ps


def _check_addresses(file: str, ps: ProcessingSystem) -> None:
    if ps.memory_bytes & (ps.memory_bytes - 1):
        raise ConfigError(f"{file}: memory_bytes is {ps.memory_bytes:#x}, must be a power of two")
    port = ps.ip.register_ports[ps.registers_port]
    if ps.registers_address % REGISTERS_BYTES or not port.first <= ps.registers_address <= port.last:
        raise ConfigError(
            f"{file}: registers_address is {ps.registers_address:#x}, must be a multiple of {REGISTERS_BYTES:#x} "
            f"from {port.first:#x} to {port.last:#x}, which is behind {ps.registers_port}"
        )


def _check_known(file: str, key: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ConfigError(f"{file}: {key} is {value!r}, must be one of {', '.join(known)}")


def _check_fields(file: str, kind: type[Board | ProcessingSystem], table: dict[str, object]) -> None:
    known = {field.name: str(field.type) for field in fields(kind) if field.name != PS}
    for key in table:
        if key not in known:
            raise ConfigError(f"{file}: unknown field {key!r}; fields are {', '.join(known)}")
    for key, wanted in known.items():
        _check_field(file, key, wanted, table)


def _check_field(file: str, key: str, kind: str, table: dict[str, object]) -> None:
    if key not in table:
        raise ConfigError(f"{file}: field {key!r} is missing")
    value = table[key]
    if kind == "str" and not (isinstance(value, str) and value):
        raise ConfigError(f"{file}: {key} is {value!r}, must be a text")
    if kind == "int":
        lowest = 0 if key == "uram" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ConfigError(f"{file}: {key} is {value!r}, must be a whole number of at least {lowest}")
