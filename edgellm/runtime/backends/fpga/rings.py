"""The three rings in memory that both sides reach: the host's side of docs/hardware.md, "Host interface".

The memory is not coherent: what the host wrote is flushed before the accelerator hears of it, what the accelerator wrote is
invalidated before the host looks. Every ring is written by one side only, so neither can undo the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm import registers
from edgellm.errors import BackendFailed
from edgellm.registers import PAGE, Register, Ring
from edgellm.runtime.backends.fpga.board import Registers

ENTRY = 8  # bytes: two command words, or a number above an event or a tag
LOGITS_OFFSET = 128  # of the logits in their record
COUNTS = 1 << 32
WORD = COUNTS - 1


class _Memory:
    """A power of two of entries at a multiple of PAGE, told to the accelerator."""

    def __init__(
        self, told: Registers, ring: Register, allocate: Callable[[int], Any], entries: int, size: int
    ) -> None:
        """`size`: bytes of an entry."""
        self.entries, self._told, self._ring = entries, told, ring
        self.buffer = allocate(max(entries * size, PAGE))
        address = int(self.buffer.device_address)
        if address % PAGE or address + self.buffer.nbytes > 1 << registers.ADDRESS_BITS:
            raise BackendFailed(
                f"memory for the ring of {ring.name.lower()} lies at {address:#x}: must be a multiple of {PAGE} below "
                f"2^{registers.ADDRESS_BITS}"
            )
        self.bytes: NDArray[np.uint8] = np.asarray(self.buffer).view(np.ndarray)
        self.bytes[:] = 0
        self.buffer.flush()
        told.write(ring + Ring.ADDRESS, address & WORD)
        told.write(ring + Ring.ADDRESS_HIGH, address >> 32)
        told.write(ring + Ring.LOG2_ENTRIES, entries.bit_length() - 1)

    def tell(self, count: int) -> None:
        """The host's count."""
        self._told.write(self._ring + Ring.HOST_COUNT, count % COUNTS)

    def device_count(self) -> int:
        """The accelerator's count."""
        return self._told.read(self._ring + Ring.DEVICE_COUNT)


class CommandRing:
    """Words to the accelerator."""

    def __init__(self, told: Registers, allocate: Callable[[int], Any], entries: int) -> None:
        self._memory = _Memory(told, Register.COMMANDS, allocate, entries, ENTRY)
        self._beats = self._memory.bytes.view(np.uint64)
        self.offered = self._told = self._fetched = 0

    @property
    def pending(self) -> bool:
        """There are words that the accelerator has not been told of."""
        return self.offered != self._told

    def room(self) -> int:
        """Words that fit in, as far as the host knows."""
        return 2 * (self._memory.entries - self.offered + self._fetched)

    def fetched(self) -> int:
        """Ask how many have been fetched."""
        self._fetched += (self._memory.device_count() - self._fetched) % COUNTS
        return self._fetched

    def put(self, words: Sequence[int]) -> None:
        """Write words for which there is room."""
        padded = np.array([*words, *[0] * (len(words) % 2)], np.uint64)
        places = (self.offered + np.arange(len(padded) // 2)) % self._memory.entries
        self._beats[places] = padded[1::2] << np.uint64(32) | padded[::2]
        self.offered += len(places)

    def publish(self) -> None:
        """Let the accelerator fetch what was put in."""
        self._memory.buffer.flush()
        self._memory.tell(self.offered)
        self._told = self.offered


class _Reader:
    """A ring that the accelerator writes: an entry is there when its number is."""

    def __init__(
        self, told: Registers, ring: Register, allocate: Callable[[int], Any], entries: int, size: int
    ) -> None:
        self._memory = _Memory(told, ring, allocate, entries, size)
        self._heads = self._memory.bytes.view(np.uint64)[:: size // ENTRY][:entries]
        self._name = ring.name.lower()
        self.taken = self._acknowledged = 0

    def words(self) -> Iterator[int]:
        """Heads of the entries that are there and were not taken yet; each is taken when the next is asked for.

        Raises: BackendFailed for a number that cannot be.
        """
        self._memory.buffer.invalidate()
        while True:
            place = self.taken % self._memory.entries
            head = int(self._heads[place])
            if head >> 32 != (self.taken + 1) % COUNTS:
                self._check_older(place, head >> 32)
                return
            yield head & WORD
            self.taken += 1
            if self.taken - self._acknowledged >= self._memory.entries // 2:
                self._acknowledge()

    def _check_older(self, place: int, number: int) -> None:
        older = self.taken + 1 - self._memory.entries
        if number != (older % COUNTS if older > 0 else 0):
            raise BackendFailed(
                f"the ring of {self._name} is corrupted: entry {place} has the number {number}, where "
                f"{self.taken + 1} is due"
            )

    def _acknowledge(self) -> None:
        self._memory.tell(self.taken)
        self._acknowledged = self.taken

    def written(self) -> int:
        """The accelerator's count of entries."""
        return self._memory.device_count()


class EventRing(_Reader):
    """Event words from the accelerator."""

    def __init__(self, told: Registers, allocate: Callable[[int], Any], entries: int) -> None:
        super().__init__(told, Register.EVENTS, allocate, entries, ENTRY)

    def take(self) -> list[int]:
        """What is there."""
        return list(self.words())


class LogitsRing(_Reader):
    """Vectors of logits from the accelerator, each with its tag."""

    def __init__(self, told: Registers, allocate: Callable[[int], Any], entries: int, vocab: int) -> None:
        self._vocab, self._size = vocab, record_bytes(vocab)
        super().__init__(told, Register.LOGITS, allocate, entries, self._size)

    def take(self) -> list[tuple[int, NDArray[np.int16]]]:
        """(tag, int16 [vocab]) of what is there."""
        return [(tag, self._vector(self.taken % self._memory.entries)) for tag in self.words()]

    def _vector(self, place: int) -> NDArray[np.int16]:
        begin = place * self._size + LOGITS_OFFSET
        return self._memory.bytes[begin : begin + 2 * self._vocab].view(np.int16).copy()


def record_bytes(vocab: int) -> int:
    """Bytes of a record of logits."""
    beats = -(-vocab // 4)
    bursts = -(-beats // 16)
    return LOGITS_OFFSET << bursts.bit_length()
