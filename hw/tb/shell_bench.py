"""The shell's AXI ports under cocotbext-axi: registers, rings, stalls, bus errors, reset. tests/test_rtl_shell.py runs this.

In the place of the accelerator is echo_core: words come back as events, those with the top bit set show a vector too.
"""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import (
    AddressSpace,
    AxiLiteBus,
    AxiLiteMaster,
    AxiReadBus,
    AxiSlaveRead,
    AxiSlaveWrite,
    AxiWriteBus,
    MemoryRegion,
)

VOCAB = int(os.environ["EDGELLM_VOCAB"])
IDENTITY, VERSION, BUILD, SHAPE, CONTROL, STATUS, SEEN = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
CYCLES = 0x20
COMMANDS, EVENTS, LOGITS = 0x40, 0x60, 0x80
LOW, HIGH, SIZE, HOST, DEVICE = 0x00, 0x04, 0x08, 0x0C, 0x10  # of a ring: the host's count and the device's
RUN, RESET, INTERRUPT = 1, 2, 4
IDLE, AWAKE, PENDING, FAILED = 1, 2, 4, 8
MEMORY = 1 << 20
BASES = {COMMANDS: 0x10000, EVENTS: 0x20000, LOGITS: 0x40000}


def record_bytes() -> int:
    """Bytes of a record of logits: 128 for its head, then the logits, together a power of two."""
    bursts = ((VOCAB + 3) // 4 + 15) // 16
    return 128 << bursts.bit_length()  # as $clog2(1 + bursts) of ring_writer


class Host:
    """Memory and masters around the shell."""

    def __init__(self, dut, seed: int = 1, stalls: float = 0.0) -> None:
        self.dut, self.rng = dut, random.Random(seed)
        cocotb.start_soon(Clock(dut.ap_clk, 5, unit="ns").start())
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.ap_clk, dut.ap_rst_n, False)
        self.space, self.memory = AddressSpace(MEMORY), MemoryRegion(MEMORY)
        self.space.register_region(self.memory, 0)
        reset = {"reset": dut.ap_rst_n, "reset_active_level": False, "target": self.space}
        self.slaves = [
            AxiSlaveRead(AxiReadBus.from_prefix(dut, "m_commands"), dut.ap_clk, **reset),
            AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "m_events"), dut.ap_clk, **reset),
            AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "m_logits"), dut.ap_clk, **reset),
        ]
        if stalls:
            self._stall(stalls)
        for prefix in (
            "m_commands_ar",
            "m_events_aw",
            "m_events_w",
            "m_logits_aw",
            "m_logits_w",
            "s_axi_r",
            "s_axi_b",
        ):
            cocotb.start_soon(self._stays(prefix))
        for prefix in ("m_commands_ar", "m_events_aw", "m_logits_aw"):
            cocotb.start_soon(self._bursts(prefix))

    def _stall(self, share: float) -> None:
        channels = [self.slaves[0].ar_channel, self.slaves[0].r_channel]
        channels += [
            getattr(slave, f"{name}_channel") for slave in self.slaves[1:] for name in ("aw", "w", "b")
        ]
        channels += [getattr(self.lite.write_if, f"{name}_channel") for name in ("aw", "w", "b")]
        channels += [getattr(self.lite.read_if, f"{name}_channel") for name in ("ar", "r")]
        for channel in channels:
            seed = self.rng.random()
            channel.set_pause_generator(self._pauses(random.Random(seed), share))

    @staticmethod
    def _pauses(rng, share):
        while True:
            yield rng.random() < share

    async def _stays(self, prefix: str) -> None:
        """A valid that is high stays, and its payload with it, until ready."""
        names = [
            n
            for n in dir(self.dut)
            if n.startswith(prefix) and n[len(prefix) :] in ("addr", "len", "data", "last", "resp")
        ]
        held = None
        while True:
            await RisingEdge(self.dut.ap_clk)
            if not int(self.dut.ap_rst_n.value):
                held = None
                continue
            valid = int(getattr(self.dut, f"{prefix}valid").value)
            now = [int(getattr(self.dut, name).value) for name in names] if valid else None
            assert held is None or now == held, f"{prefix} changed while it waited: {held} to {now}"
            held = now if valid and not int(getattr(self.dut, f"{prefix}ready").value) else None

    async def _bursts(self, prefix: str) -> None:
        """No burst leaves its 128 bytes, so none crosses 4096."""
        while True:
            await RisingEdge(self.dut.ap_clk)
            if int(getattr(self.dut, f"{prefix}valid").value):
                address, beats = (int(getattr(self.dut, prefix + name).value) for name in ("addr", "len"))
                assert address % 128 + 8 * (beats + 1) <= 128, f"{prefix}: {beats + 1} beats at {address:#x}"

    async def read(self, register: int) -> int:
        return int.from_bytes((await self.lite.read(register, 4)).data, "little")

    async def write(self, register: int, value: int) -> None:
        await self.lite.write(register, value.to_bytes(4, "little"))

    async def start(self, sizes: dict[int, int], interrupt: bool = False) -> None:
        """Out of reset, rings of 2^size entries set up, running."""
        self.dut.ap_rst_n.value = 0
        await ClockCycles(self.dut.ap_clk, 5)
        self.dut.ap_rst_n.value = 1
        await ClockCycles(self.dut.ap_clk, 5)
        self.sizes = sizes
        for ring, size in sizes.items():
            await self.write(ring + LOW, BASES[ring])
            await self.write(ring + HIGH, 0)
            await self.write(ring + SIZE, size)
        await self.write(CONTROL, RUN | (INTERRUPT if interrupt else 0))
        self.offered = self.taken = self.shown = 0

    async def send(self, words: list[int]) -> None:
        """Put words into the ring of commands, in pairs, and say so; waits for room."""
        beats, size = [*words, *[0] * (len(words) % 2)], 1 << self.sizes[COMMANDS]
        for first, second in zip(beats[::2], beats[1::2], strict=True):
            if self.offered - await self.read(COMMANDS + DEVICE) == size:
                await self.write(COMMANDS + HOST, self.offered)
                while self.offered - await self.read(COMMANDS + DEVICE) == size:
                    pass
            place = BASES[COMMANDS] + self.offered % size * 8
            self.memory.mem[place : place + 8] = (second << 32 | first).to_bytes(8, "little")
            self.offered += 1
            if self.rng.random() < 0.3:
                await self.write(COMMANDS + HOST, self.offered)
        await self.write(COMMANDS + HOST, self.offered)

    def peek(self) -> int | None:
        """The next event in the ring, if it is there."""
        place = BASES[EVENTS] + self.taken % (1 << self.sizes[EVENTS]) * 8
        beat = int.from_bytes(self.memory.mem[place : place + 8], "little")
        return beat & 0xFFFFFFFF if beat >> 32 == self.taken + 1 else None

    def peek_logits(self) -> tuple[int, list[int]] | None:
        """The next vector in the ring, if it is there: its logits must be when its number is."""
        place = BASES[LOGITS] + self.shown % (1 << self.sizes[LOGITS]) * record_bytes()
        head = int.from_bytes(self.memory.mem[place : place + 8], "little")
        if head >> 32 != self.shown + 1:
            return None
        raw = bytes(self.memory.mem[place + 128 : place + 128 + 2 * VOCAB])
        return head & 0xFFFFFFFF, [int.from_bytes(raw[i : i + 2], "little") for i in range(0, len(raw), 2)]

    async def take(self, count: int, each: int = 3) -> list[int]:
        """Events, looked for in memory alone; the device hears of them now and then."""
        events = []
        while len(events) < count:
            await RisingEdge(self.dut.ap_clk)
            await self._take_logits()
            while (event := self.peek()) is not None:
                events.append(event)
                self.taken += 1
                if self.taken % each == 0:
                    await self.write(EVENTS + HOST, self.taken)
        return events

    async def _take_logits(self) -> None:
        while (found := self.peek_logits()) is not None:
            word, logits = found
            assert logits == [(word + i) & 0xFFFF for i in range(VOCAB)]
            self.shown += 1
            await self.write(LOGITS + HOST, self.shown)


def some_words(rng: random.Random, count: int, vectors: float = 0.2) -> list[int]:
    return [rng.randrange(1, 1 << 31) | (rng.random() < vectors) << 31 for _ in range(count)]


@cocotb.test()
async def registers_say_who_they_are(dut):
    host = Host(dut)
    await host.start({})
    assert await host.read(IDENTITY) == int.from_bytes(b"EGLM", "little")
    assert await host.read(VERSION) == 1
    assert await host.read(BUILD) == 0xC0FFEE01
    assert await host.read(SHAPE) == 8
    assert await host.read(STATUS) == IDLE | AWAKE
    for register in (0x1C, 0x28, 0xFC):
        await host.write(register, 0xFFFFFFFF)
        assert await host.read(register) == 0
    await host.write(IDENTITY, 0)
    assert await host.read(IDENTITY) != 0
    before = await host.read(CYCLES)
    await ClockCycles(dut.ap_clk, 100)
    assert 100 < await host.read(CYCLES) - before < 200
    assert await host.read(CYCLES + 4) == 0
    await host.lite.write(COMMANDS + LOW + 1, b"\xab")  # a byte of a word
    assert await host.read(COMMANDS + LOW) == 0xAB00


@cocotb.test()
async def words_come_back_in_order(dut):
    host = Host(dut)
    await host.start({COMMANDS: 4, EVENTS: 4, LOGITS: 2})
    words = some_words(host.rng, 100)
    sending = cocotb.start_soon(host.send(words))
    assert await with_timeout(host.take(100), 100, "us") == words
    await sending
    assert host.shown == sum(word >> 31 for word in words)


@cocotb.test()
@cocotb.parametrize(seed=[0, 1, 2])
async def stalls_on_every_channel_change_nothing(dut, seed):
    host = Host(dut, seed, stalls=0.2 + 0.3 * seed)
    await host.start({COMMANDS: 4 + seed, EVENTS: 3 + seed, LOGITS: 1 + seed})
    words = some_words(host.rng, 80)
    sending = cocotb.start_soon(host.send(words))
    assert await with_timeout(host.take(80), 400, "us") == words
    await sending


@cocotb.test()
async def a_host_that_does_not_read_stops_the_device_and_loses_nothing(dut):
    host = Host(dut)
    await host.start({COMMANDS: 5, EVENTS: 3, LOGITS: 1})
    words = some_words(host.rng, 40, 0)
    await host.send(words)
    await ClockCycles(dut.ap_clk, 500)
    assert await host.read(EVENTS + DEVICE) == 8
    assert (await host.read(STATUS)) & IDLE
    assert await with_timeout(host.take(40), 100, "us") == words


@cocotb.test()
async def no_move_without_run(dut):
    host = Host(dut)
    await host.start({COMMANDS: 4, EVENTS: 4, LOGITS: 1})
    await host.write(CONTROL, 0)
    words = some_words(host.rng, 6, 0)
    await host.send(words)
    await ClockCycles(dut.ap_clk, 200)
    assert await host.read(COMMANDS + DEVICE) == 0
    await host.write(CONTROL, RUN)
    assert await with_timeout(host.take(6), 100, "us") == words


@cocotb.test()
async def an_interrupt_until_the_host_has_seen_the_events(dut):
    host = Host(dut)
    await host.start({COMMANDS: 4, EVENTS: 4, LOGITS: 1}, interrupt=True)
    assert not int(dut.interrupt.value)
    await host.send([5, 6])
    await with_timeout(RisingEdge(dut.interrupt), 100, "us")
    await host.take(2)
    await host.write(SEEN, await host.read(EVENTS + DEVICE))
    await ClockCycles(dut.ap_clk, 3)
    assert not int(dut.interrupt.value)
    assert not (await host.read(STATUS)) & PENDING


@cocotb.test()
async def a_reset_in_the_middle_tears_no_transaction(dut):
    """The core's reset waits for the bus; afterwards everything counts from the start."""
    host = Host(dut, stalls=0.5)
    for wait in (3, 11, 29, 64):
        await host.start({COMMANDS: 4, EVENTS: 4, LOGITS: 2})
        await host.send(some_words(host.rng, 12))
        await ClockCycles(dut.ap_clk, wait)
        await host.write(CONTROL, RESET)
        while (await host.read(STATUS)) & (IDLE | AWAKE) != IDLE:
            pass
        for ring in (COMMANDS, EVENTS, LOGITS):
            assert await host.read(ring + DEVICE) == 0
            assert await host.read(ring + HOST) == 0
        host.memory.mem[0:MEMORY] = bytes(MEMORY)
        host.offered = host.taken = host.shown = 0
        await host.write(CONTROL, RUN)
        words = some_words(host.rng, 10)
        await host.send(words)
        assert await with_timeout(host.take(10), 200, "us") == words


@cocotb.test()
@cocotb.parametrize(number=[0, 1, 2])
async def a_bus_error_is_told_and_stops_its_ring(dut, number):
    host, ring = Host(dut), [COMMANDS, EVENTS, LOGITS][number]
    await host.start({COMMANDS: 4, EVENTS: 4, LOGITS: 1})
    await host.write(ring + LOW, 2 * MEMORY)  # nobody is there
    await host.send([1 << 31 | 7, 3])
    await ClockCycles(dut.ap_clk, 300)
    assert (await host.read(STATUS)) // FAILED == 1 << number
    assert host.peek() == (1 << 31 | 7 if ring == LOGITS else None)
    await host.write(CONTROL, RESET)
    await ClockCycles(dut.ap_clk, 10)
    assert (await host.read(STATUS)) // FAILED == 0
