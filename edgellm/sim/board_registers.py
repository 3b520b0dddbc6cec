"""Registers of the simulated board: clock controllers as plain memory, the interrupt controller, and how the host maps them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# offset -> value after the boot loader: PLLs, then clock 0 of the logic at 100 MHz
ULTRA = {
    0xFF5E_0000: {0x20: 90 << 8 | 1 << 16, 0x30: 90 << 8 | 1 << 16, 0xC0: 15 << 8 | 1 << 16 | 1 << 24},
    0xFD1A_0000: {0x20: 72 << 8 | 1 << 16, 0x2C: 64 << 8 | 1 << 16, 0x38: 90 << 8 | 1 << 16, 0x60: 1 << 8},
}
ZYNQ = {
    0xF800_0000: {0x100: 26 << 12, 0x104: 21 << 12, 0x108: 20 << 12, 0x120: 2 << 8, 0x170: 10 << 8 | 1 << 20}
}
PLAIN_BYTES = 0x1000


class Registers(Protocol):
    """A block of registers; offsets in bytes."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Mapped(np.ndarray[Any, Any]):
    """Registers as an array of 32-bit words, as a memory map gives them: views of it still reach the block."""

    _block: Registers | None = None
    _origin = 0

    @classmethod
    def of(cls, block: Registers, length: int) -> Mapped:
        """`length` bytes of a block."""
        array = np.zeros(length // 4, np.uint32).view(cls)
        array._block, array._origin = block, array.ctypes.data
        return array

    def __array_finalize__(self, other: Any) -> None:
        if isinstance(other, Mapped):
            self._block, self._origin = other._block, other._origin

    def _offset(self, index: int) -> int:
        return int(self.ctypes.data) - self._origin + 4 * index

    def __getitem__(self, index: Any) -> Any:
        if self._block is None or not isinstance(index, (int, np.integer)):
            return super().__getitem__(index)
        return np.uint32(self._block.read(self._offset(int(index))))

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._block is None or not isinstance(index, (int, np.integer)):
            super().__setitem__(index, value)
        else:
            self._block.write(self._offset(int(index)), int(value))


class Plain:
    """Registers that only keep what is written to them; `frozen` ones do not even that."""

    def __init__(self, values: dict[int, int]) -> None:
        self._words: NDArray[np.uint32] = np.zeros(PLAIN_BYTES // 4, np.uint32)
        for offset, value in values.items():
            self._words[offset // 4] = value
        self.frozen = False

    def read(self, offset: int) -> int:
        """A word."""
        return int(self._words[offset // 4])

    def write(self, offset: int, value: int) -> None:
        """A word."""
        if not self.frozen:
            self._words[offset // 4] = value


class InterruptController:
    """AXI INTC (PG099) with one input, a level, on line 0."""

    STATUS, PENDING, ENABLE, ACKNOWLEDGE, SET, CLEAR, MASTER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C
    ALL_ON = 3  # of MASTER

    def __init__(self) -> None:
        self._status = self._enabled = self._master = 0
        self._level = False

    def input(self, level: bool) -> None:
        """Level of the line; a high one sets its bit as long as it lasts."""
        self._level = level
        self._status |= int(level)

    @property
    def output(self) -> bool:
        """The processor is interrupted."""
        return self._master == self.ALL_ON and bool(self._status & self._enabled)

    def read(self, offset: int) -> int:
        """A register."""
        known = {
            self.STATUS: self._status,
            self.PENDING: self._status & self._enabled,
            self.ENABLE: self._enabled,
            self.MASTER: self._master,
        }
        return known.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A register."""
        if offset == self.ENABLE:
            self._enabled = value
        elif offset == self.SET:
            self._enabled |= value
        elif offset == self.CLEAR:
            self._enabled &= ~value
        elif offset == self.ACKNOWLEDGE:
            self._status = self._status & ~value | int(self._level)
        elif offset == self.MASTER:
            self._master = value
