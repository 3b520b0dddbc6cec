"""Memory of the simulated board: what the accelerator sees, apart from what the host sees in its caches."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

PAGE = 4096
HIGH, LOW = (
    0x8_0000_0000,
    0x1000_0000,
)  # upper memory of a Zynq UltraScale+, beyond 32 bits; memory of a Zynq-7000
BYTES = 64 << 20


class Dram:
    """Pages from `base` on, with random content: nothing there is 0 by luck."""

    def __init__(self, base: int, size: int = BYTES, seed: int = 1) -> None:
        self.base = base
        self._random = np.random.default_rng(seed)
        self.data = self._random.integers(256, size=size, dtype=np.uint8)
        self._free = [(base, size)]

    def allocate(self, size: int) -> int:
        """Address of whole pages. Raises: MemoryError."""
        pages = -(-size // PAGE) * PAGE
        for index, (address, room) in enumerate(self._free):
            if room >= pages:
                self._free[index] = (address + pages, room - pages)
                return address
        raise MemoryError(f"the simulated board has no {size} bytes left")

    def free(self, address: int, size: int) -> None:
        """Give pages back."""
        self._free.append((address, -(-size // PAGE) * PAGE))

    def garbage(self, size: int) -> bytearray:
        """Random bytes for the host's side."""
        return bytearray(self._random.bytes(size))

    def from_host(self, address: int, pointer: int, size: int) -> None:
        """What the host wrote gets there."""
        self._place(address, size)[:] = _host(pointer, size)

    def to_host(self, address: int, pointer: int, size: int) -> None:
        """The host sees what is there."""
        _host(pointer, size)[:] = self._place(address, size)

    def _place(self, address: int, size: int) -> NDArray[np.uint8]:
        return self.data[address - self.base : address - self.base + size]


def _host(pointer: int, size: int) -> NDArray[np.uint8]:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))
