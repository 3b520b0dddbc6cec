"""The look-up tables of the contract, computed from real numbers once, at export time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXP_STEPS_PER_NAT = 24  # exp_table[i] = round(255 * exp(-i/24))


def exp_table() -> NDArray[np.uint8]:
    """uint8 [256]: 255 * exp(-i/24), 255 at 0; the last entry is 0, so that far positions cost nothing."""
    table = np.floor(255 * np.exp(-np.arange(256) / EXP_STEPS_PER_NAT) + 0.5)
    table[255] = 0
    return table.astype(np.uint8)


def silu_table(gate_scale: float, silu_scale: float) -> NDArray[np.int8]:
    """int8 [256], index gate + 128: SiLU of gate * gate_scale in units of silu_scale."""
    x = np.arange(-128, 128) * gate_scale
    y = np.floor(x / (1 + np.exp(-x)) / silu_scale + 0.5)
    table: NDArray[np.int8] = np.clip(y, -128, 127).astype(np.int8)
    return table


def rope_tables(
    context: int, head_dim: int, theta: float = 10000.0
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Q13 (cos, sin), each int16 [context, head_dim/2], for rotation of adjacent pairs."""
    frequency: NDArray[Any] = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angle = np.arange(context)[:, None] * frequency[None, :]
    cos, sin = (np.floor(f(angle) * 8192 + 0.5).astype(np.int16) for f in (np.cos, np.sin))
    return cos, sin
