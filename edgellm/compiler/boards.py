"""Boards an accelerator can be compiled for: `hw/boards/*.toml`, one file each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import tomllib

from edgellm import resources
from edgellm.errors import BoardUnknown, ConfigError

DSP_KINDS = ("DSP48E1", "DSP48E2", "MULT18")


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
    known = {field.name: field.type for field in fields(Board)}
    for key in table:
        if key not in known:
            raise ConfigError(f"{path.name}: unknown field {key!r}; fields are {', '.join(known)}")
    for key, kind in known.items():
        _check_field(path.name, key, str(kind), table)
    board = Board(**table)
    if board.dsp not in DSP_KINDS:
        raise ConfigError(f"{path.name}: dsp is {board.dsp!r}, must be one of {', '.join(DSP_KINDS)}")
    if board.name != path.stem:
        raise ConfigError(f"{path.name}: name is {board.name!r}, must be the file's name {path.stem!r}")
    return board


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
