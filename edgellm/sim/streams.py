"""Vectors of integers to AXI4-Stream beats and back.

A beat is a row of bytes, little endian, lane 0 in the low bits, padded to whole bytes (docs/hardware.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgellm.errors import UsageError

Rows = NDArray[np.uint8]  # [beats, bytes]
MAX_BITS = 64
NATIVE = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}


def beat_bytes(lanes: int, bits: int) -> int:
    """Bytes of a beat of `lanes` values of `bits` bits."""
    return (lanes * bits + 7) // 8


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= MAX_BITS:
        raise UsageError(f"a stream lane has 1 to {MAX_BITS} bits, not {bits}")


def _check_range(values: NDArray[Any], bits: int) -> None:
    if values.size == 0:
        return
    low, high = int(values.min()), int(values.max())
    for value in (low, high):
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise UsageError(f"value {value} does not fit a lane of {bits} bits")


def pack(values: ArrayLike, bits: int) -> Rows:
    """Beats of `values` [..., lanes], signed or unsigned `bits`-bit integers: uint8 [beats, bytes].

    Raises UsageError for a value that `bits` bits cannot hold.
    """
    _check_bits(bits)
    array = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "iub":
        raise UsageError(f"a stream needs an integer array [..., lanes], not {array.dtype} {array.shape}")
    lanes = array.shape[-1]
    flat = array.reshape(-1, lanes)
    _check_range(flat, bits)
    flat = flat.astype(np.int64, copy=False) if flat.dtype != np.uint64 else flat.view(np.int64)
    if bits in NATIVE:
        return np.ascontiguousarray(flat.astype(NATIVE[bits])).view(np.uint8)
    return _pack_bits(flat, bits)


def _pack_bits(flat: NDArray[np.int64], bits: int) -> Rows:
    digits = ((flat[..., None] >> np.arange(bits)) & 1).astype(np.uint8)
    return np.packbits(digits.reshape(len(flat), flat.shape[1] * bits), axis=1, bitorder="little")


def unpack(rows: Rows, bits: int, lanes: int, signed: bool = True) -> NDArray[np.int64]:
    """Integers [beats, lanes] of `rows` [beats, bytes]; the inverse of `pack`."""
    _check_bits(bits)
    rows = np.asarray(rows, dtype=np.uint8)
    if rows.ndim != 2 or rows.shape[1] != beat_bytes(lanes, bits):
        raise UsageError(
            f"{lanes} lanes of {bits} bits need rows of {beat_bytes(lanes, bits)} bytes, not {rows.shape}"
        )
    if bits in NATIVE:
        kind = np.dtype(NATIVE[bits] if signed else f"u{bits // 8}")
        return np.ascontiguousarray(rows).view(kind).astype(np.int64)
    digits = np.unpackbits(rows, axis=1, bitorder="little", count=lanes * bits)
    weights = (np.int64(1) << np.arange(bits)).astype(np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return digits.reshape(len(rows), lanes, bits).astype(np.int64) @ weights
