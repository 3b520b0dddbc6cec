"""The host's side of the rings, against a model of the accelerator's on memory that is not coherent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import BackendFailed
from edgellm.registers import PAGE, Register, Ring
from edgellm.runtime.backends.fpga.rings import (
    COUNTS,
    CommandRing,
    EventRing,
    LogitsRing,
    record_bytes,
)

ADDRESS = 0x8_0000_0000


class Buffer(np.ndarray):
    """Host's bytes; `far` is what the accelerator sees."""

    def flush(self):
        self.far[:] = self

    def invalidate(self):
        self[:] = self.far


class Side:
    """Registers, and memory that is allocated once."""

    def __init__(self, address=ADDRESS):
        self.written, self.address, self.counts = {}, address, {}
        self.accesses = 0

    def read(self, offset):
        self.accesses += 1
        return self.counts.get(offset, 0)

    def write(self, offset, value):
        assert 0 <= value < 1 << 32
        self.accesses += 1
        self.written[offset] = value

    def allocate(self, size):
        self.buffer = np.frombuffer(bytearray(b"\xa5" * size), np.uint8).view(Buffer)
        self.buffer.far = np.full(size, 0x5A, np.uint8)
        self.buffer.device_address = self.address
        return self.buffer

    @property
    def far(self):
        return self.buffer.far.view(np.uint64)


def test_a_ring_is_cleared_and_told():
    side = Side()
    EventRing(side, side.allocate, 64)
    assert not side.far.any()
    base = Register.EVENTS
    assert side.written == {base + Ring.ADDRESS: 0, base + Ring.ADDRESS_HIGH: 8, base + Ring.LOG2_ENTRIES: 6}
    assert side.buffer.nbytes == PAGE


@pytest.mark.parametrize("address", [ADDRESS + 8, 1 << 40, (1 << 40) - 100])
def test_memory_that_cannot_be_reached(address):
    side = Side(address)
    with pytest.raises(
        BackendFailed,
        match=rf"^memory for the ring of commands lies at {address:#x}: must be a multiple of 4096 below 2\^40$",
    ):
        CommandRing(side, side.allocate, 16)


@given(st.lists(st.lists(st.integers(0, COUNTS - 1), min_size=1, max_size=12), max_size=30))
def test_commands_get_there_in_order(commands):
    """Words in pairs, filled up with a zero; the accelerator sees them only once they are published."""
    side = Side()
    ring, fetched, got = CommandRing(side, side.allocate, 16), 0, []
    for command in commands:
        before = side.far.copy()
        ring.put(command)
        assert ring.pending
        assert (side.far == before).all()
        ring.publish()
        assert not ring.pending
        offered = side.written[Register.COMMANDS + Ring.HOST_COUNT]
        while fetched != offered:
            beat = int(side.far[fetched % 16])
            got += [beat & 0xFFFFFFFF, beat >> 32]
            fetched += 1
        side.counts[Register.COMMANDS + Ring.DEVICE_COUNT] = fetched
        ring.fetched()
        assert ring.room() == 32
    assert got == [word for command in commands for word in [*command, *[0] * (len(command) % 2)]]


def test_room_is_what_the_accelerator_has_fetched():
    side = Side()
    ring = CommandRing(side, side.allocate, 16)
    ring.put([1] * 30)
    assert ring.room() == 2
    side.counts[Register.COMMANDS + Ring.DEVICE_COUNT] = 5
    assert (ring.room(), ring.fetched(), ring.room()) == (2, 5, 12)


def write_event(side, number, word, entries):
    side.far[(number - 1) % entries] = (number % COUNTS) << 32 | word


@given(st.lists(st.integers(0, 4), max_size=60), st.sampled_from([0, COUNTS - 7]))
def test_events_come_once_and_in_order(portions, start):
    """Counts go around the ring and around 32 bits; the host tells what it took in every half ring."""
    side = Side()
    ring = EventRing(side, side.allocate, 8)
    ring.taken = ring._acknowledged = start
    for k in range(8 if start else 0):  # the lap before
        write_event(side, start - k, 0, 8)
    number, got, accesses = start, [], side.accesses
    for portion in portions:
        for _ in range(portion):
            number += 1
            write_event(side, number, number & 0xFFFF, 8)
        got += ring.take()
    assert got == [(start + 1 + k) & 0xFFFF for k in range(len(got))]
    assert len(got) == sum(portions)
    assert side.accesses - accesses == len(got) // 4
    assert ring.taken == start + len(got)


def test_what_is_not_invalidated_is_not_seen():
    side = Side()
    ring = EventRing(side, side.allocate, 8)
    write_event(side, 1, 77, 8)
    side.buffer.invalidate = lambda: None
    assert ring.take() == []
    del side.buffer.invalidate
    assert ring.take() == [77]


@pytest.mark.parametrize("number", [1, 9, 11, 2])
def test_a_number_that_cannot_be(number):
    side = Side()
    ring = EventRing(side, side.allocate, 8)
    for k in range(1, 10):
        write_event(side, k, k, 8)
        ring.take()
    side.far[9 % 8] = number << 32
    if number == 2:  # of the lap before
        assert ring.take() == []
        return
    with pytest.raises(
        BackendFailed,
        match=rf"^the ring of events is corrupted: entry 1 has the number {number}, where 10 is due$",
    ):
        ring.take()


@pytest.mark.parametrize(
    ("vocab", "size"), [(24, 256), (64, 256), (65, 512), (160, 512), (512, 2048), (97, 512)]
)
def test_records_of_logits(vocab, size):
    """128 << clog2(1 + ceil(ceil(vocab / 4) / 16)), as docs/hardware.md has it."""
    assert record_bytes(vocab) == size
    side = Side()
    ring = LogitsRing(side, side.allocate, 4, vocab)
    rng, got, sent = np.random.default_rng(1), [], []
    for number in range(1, 12):
        row = rng.integers(-32768, 32767, size=vocab, dtype=np.int16)
        place = (number - 1) % 4 * size
        side.buffer.far[place + 128 : place + 128 + 2 * vocab] = row.view(np.uint8)
        side.far[place // 8] = number << 32 | number << 16
        sent.append((number << 16, row))
        got += ring.take()
    assert [tag for tag, _ in got] == [tag for tag, _ in sent]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(got, sent, strict=True))
    assert side.written[Register.LOGITS + Ring.HOST_COUNT] == 10
