"""The header of a .bit file: a magic number, then tagged strings, then the configuration data with its length.

    00 09 0f f0 0f f0 0f f0 0f f0 00  00 01      'a' design;options 'b' part 'c' date 'd' time 'e' length of the data

Numbers are big-endian; 'a' to 'd' are followed by a length of 2 bytes and a string that ends in a zero byte, 'e' by 4 bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from edgellm.bundle.manifest import Bitstream
from edgellm.errors import BundleCorrupt

_MAGIC = bytes.fromhex("0009 0ff00ff00ff00ff000 0001".replace(" ", ""))
_SYNC, _SYNC_WITHIN = bytes.fromhex("aa995566"), 4096
_TOOL = "Version="
STAND_IN = (
    "edgellm_simulated_board"  # the design that a simulated board names: there is no configuration in it
)


def read(path: Path) -> Bitstream:
    """What a .bit file says about itself; BundleCorrupt when it is none, truncated or padded."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BundleCorrupt(
                f"{path}: not a .bit file: give the bitstream that Vivado's write_bitstream made"
            )
        name, part, date, time = (_text(file, path, tag) for tag in (b"a", b"b", b"c", b"d"))
        _check_data(file, path)
    design, *options = name.split(";")
    tools = [option.removeprefix(_TOOL) for option in options if option.startswith(_TOOL)]
    return Bitstream(design, f"Vivado {tools[0]}" if tools else "", part, date, time)


def _text(file: BinaryIO, path: Path, tag: bytes) -> str:
    length = _number(file, path, tag, ">H")
    text = file.read(length)
    if (
        len(text) < length
        or not text.endswith(b"\0")
        or not text[:-1].isascii()
        or not text[:-1].decode().isprintable()
    ):
        raise BundleCorrupt(f"{path}: field {tag.decode()!r} of its header is damaged: copy it again")
    return text[:-1].decode("ascii")


def _number(file: BinaryIO, path: Path, tag: bytes, form: str) -> int:
    size = struct.calcsize(form)
    raw = file.read(1 + size)
    if len(raw) != 1 + size or raw[:1] != tag:
        raise BundleCorrupt(f"{path}: field {tag.decode()!r} is missing in its header: copy it again")
    number: int = struct.unpack(form, raw[1:])[0]
    return number


def _check_data(file: BinaryIO, path: Path) -> None:
    length = _number(file, path, b"e", ">I")
    found = path.stat().st_size - file.tell()
    if found != length:
        raise BundleCorrupt(f"{path}: {found} bytes of configuration instead of {length}: copy it again")
    if _SYNC not in file.read(_SYNC_WITHIN):
        raise BundleCorrupt(
            f"{path}: no synchronisation word in its first {_SYNC_WITHIN} bytes: not a bitstream"
        )
