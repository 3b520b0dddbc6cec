"""Packing of integers into stream beats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import UsageError
from edgellm.sim import streams


@given(st.integers(1, 64), st.integers(1, 9), st.integers(0, 5), st.booleans(), st.integers(0, 2**32))
def test_round_trip(bits: int, lanes: int, beats: int, signed: bool, seed: int) -> None:
    if bits == 64:
        signed = True  # unpack gives int64
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = np.random.default_rng(seed).integers(low, high, (beats, lanes), endpoint=True)
    rows = streams.pack(values, bits)
    assert rows.dtype == np.uint8
    assert rows.shape == (beats, streams.beat_bytes(lanes, bits))
    assert np.array_equal(streams.unpack(rows, bits, lanes, signed), values)


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_lane_0_is_low_and_the_beat_is_padded_with_zeros(bits: int) -> None:
    row = streams.pack([[1, -1, 2]], bits)[0]
    mask = (1 << bits) - 1
    assert int.from_bytes(row.tobytes(), "little") == 1 | mask << bits | 2 << 2 * bits


def test_leading_axes_become_beats() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(streams.unpack(streams.pack(values, 8), 8, 4), values.reshape(6, 4))


def test_uint64() -> None:
    values = np.array([[2**64 - 1]], np.uint64)
    assert streams.pack(values, 64).tobytes() == b"\xff" * 8


@pytest.mark.parametrize(("value", "bits"), [(128, 7), (-9, 4), (16, 4), (-2, 1), (2**40, 40)])
def test_a_value_must_fit(value: int, bits: int) -> None:
    with pytest.raises(UsageError, match=f"^value {value} does not fit a lane of {bits} bits$"):
        streams.pack([[0, value]], bits)


@pytest.mark.parametrize("bits", [0, 65])
def test_bits_of_a_lane(bits: int) -> None:
    with pytest.raises(UsageError, match=f"^a stream lane has 1 to 64 bits, not {bits}$"):
        streams.pack([[0]], bits)


def test_integers_only() -> None:
    with pytest.raises(
        UsageError, match=r"^a stream needs an integer array \[..., lanes\], not float64 \(1, 1\)$"
    ):
        streams.pack([[0.5]], 8)


def test_rows_of_the_wrong_width() -> None:
    with pytest.raises(UsageError, match=r"^3 lanes of 12 bits need rows of 5 bytes, not \(2, 4\)$"):
        streams.unpack(np.zeros((2, 4), np.uint8), 12, 3)
