"""A .bit file that only the simulated board takes: a header like Vivado's, and no configuration behind it."""

from __future__ import annotations

import struct
from pathlib import Path

from edgellm import files
from edgellm.bundle import bitfile
from edgellm.errors import BundleCorrupt
from edgellm.sim import design as designs

FILE = "accelerator.bit"
_MAGIC = bytes.fromhex("00090ff00ff00ff00ff0000001")
_SYNC = bytes.fromhex("ffffffffaa995566")


def write(folder: Path) -> Path:
    """Write one into a design folder that has no bitstream; an existing file stays."""
    path = folder / FILE
    if not path.exists():
        name = f"{bitfile.STAND_IN};not a bitstream"
        fields = zip("abcd", (name, designs.load(folder).part, "2000/01/01", "00:00:00"), strict=True)
        header = b"".join(_field(tag, text) for tag, text in fields)
        files.write_bytes(path, _MAGIC + header + b"e" + struct.pack(">I", len(_SYNC)) + _SYNC)
    return path


def is_one(path: Path) -> bool:
    """Whether a .bit file is such a stand-in."""
    try:
        return bitfile.read(path).design == bitfile.STAND_IN
    except BundleCorrupt:
        return False


def _field(tag: str, text: str) -> bytes:
    data = text.encode("ascii") + b"\0"
    return tag.encode("ascii") + struct.pack(">H", len(data)) + data
