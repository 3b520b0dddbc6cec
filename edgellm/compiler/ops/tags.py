"""Tags, tokens and words as the byte vectors that FINN's float tensors carry exactly (docs/hardware.md, "Streams")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEAD = 1  # flag: the head runs for this token
DUMP = 2  # flag: its logits go to the host
SILENT = 4  # flag: what is chosen after it is dropped
COPY = 8  # flag: no token, but a prefix from the slot in the flags' high half
SUBMIT = 1  # command code


def number(record: NDArray[np.int64]) -> int:
    """The integer that a vector of bytes, lowest first, spells."""
    return int.from_bytes(bytes(record.astype(np.uint8)), "little")


def record(value: int, nbytes: int) -> NDArray[np.int64]:
    """`value` as `nbytes` bytes, lowest first."""
    return np.frombuffer(value.to_bytes(nbytes, "little"), np.uint8).astype(np.int64)


def tag(position: int, slot: int = 0, flags: int = 0) -> int:
    """32-bit tag of a token."""
    return position | slot << 16 | flags << 24


def block_tag(plain: int, layer: int) -> int:
    """40-bit tag of a token in one layer."""
    return plain | layer << 32


def token(plain: int, index: int) -> int:
    """64-bit token beat."""
    return plain | index << 32


def position(value: int) -> int:
    """Position in a tag, block tag or token beat."""
    return value & 0xFFFF


def slot(value: int) -> int:
    return value >> 16 & 0xFF


def flags(value: int) -> int:
    return value >> 24 & 0xFF


def layer(value: int) -> int:
    """Layer in a block tag."""
    return value >> 32 & 0xFF


def index(value: int) -> int:
    """Vocabulary index in a token beat."""
    return value >> 32 & 0xFFFF
