"""What a host needs of a design: the AXI shell, the map of its registers, the hardware hand-off, a number that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgellm import files, registers
from edgellm.compiler import block_design, hwh, shell
from edgellm.compiler.boards import Board
from edgellm.compiler.shell import Shell
from edgellm.registers import Control, Ring, Status

REGISTERS, FORMAT = "registers.json", 1


def build_of(folder: Path, names: Iterable[str], model: str) -> int:
    """32 bits, never 0, that name what is made of these files and the model with this digest."""
    digest = hashlib.sha256(model.encode())
    for name in sorted(names):
        digest.update(f"\n{name} {files.sha256(folder / name)}".encode())
    return int.from_bytes(digest.digest()[:4], "big") or 1


def write(folder: Path, top: str, about: Shell, board: Board) -> None:
    """Write shell and register map into a design folder, and the hand-off if the board has processors."""
    files.write_text(folder / shell.FILE, shell.verilog(about, top))
    files.write_text(folder / REGISTERS, json.dumps(register_map(about), indent=1) + "\n")
    if board.ps is not None:
        files.write_text(folder / hwh.FILE, hwh.text(board.ps, board.part, about.build, board.clock_mhz))


def register_map(about: Shell) -> Mapping[str, Any]:
    """Content of registers.json: offsets in bytes, bits of control and status as masks."""
    return {
        "format": FORMAT,
        "vlnv": registers.VLNV,
        "identity": registers.IDENTITY_VALUE,
        "version": registers.VERSION_VALUE,
        "build": about.build,
        "slots": about.slots,
        "vocab": about.vocab,
        "bytes": registers.BYTES,
        "address_bits": about.address_bits,
        "page": registers.PAGE,
        "registers": [asdict(field) for field in block_design.fields()],
        "rings": {ring.name: int(ring) for ring in block_design.RINGS},
        "ring": {part.name: int(part) for part in Ring},
        "control": {bit.name: bit.value for bit in Control},
        "status": {bit.name: bit.value for bit in Status},
    }
