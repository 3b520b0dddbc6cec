"""What a bundle says about its hardware, after bitstream, hardware hand-off and design were compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgellm import registers
from edgellm.bundle import bitfile, hwh
from edgellm.bundle.hwh import Block, ClockPort, HardwareHandoff
from edgellm.bundle.manifest import Bitstream, Clock
from edgellm.errors import BundleCorrupt, BundleMismatch

ASSUMED = "assumed"  # no clock before there is a bitstream
CLOCK_TOLERANCE = 0.01  # dividers do not hit every frequency


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the design asks for: its folder for messages, part, clock, and the number that names it."""

    design: Path
    part: str
    mhz: float
    build: int


def device(part: str) -> str:
    """Device and package, as every tool spells them: `xc7z020clg400-1` and `7z020-clg400` are `7z020clg400`."""
    first, *rest = part.lower().split("-")
    package = rest[0] if rest and len(rest[0]) > 3 else ""  # shorter ones are speed and temperature
    return first.removeprefix("xc") + package


def check_bitstream(path: Path, wanted: Wanted) -> Bitstream:
    """The header of a bitstream for the design's part; BundleMismatch, BundleCorrupt."""
    found = bitfile.read(path)
    _check_part(path, found.part, wanted)
    return found


def check_handoff(path: Path, wanted: Wanted) -> tuple[Clock, tuple[str, ...]]:
    """The accelerator's clock and the VLNVs of all blocks; BundleMismatch names what differs from the design."""
    found = hwh.read(path)
    _check_part(path, found.part, wanted)
    block = _accelerator(path, found)
    _check_build(path, block, wanted)
    _check_range(path, found, block)
    return _clock(path, block, wanted), tuple(sorted({b.vlnv for b in found.blocks if b.vlnv}))


def _check_part(path: Path, part: str, wanted: Wanted) -> None:
    if device(part) != device(wanted.part):
        raise BundleMismatch(
            f"{path} is for {part}, the design {wanted.design} for {wanted.part}: compile for that board, or give the "
            "result of this design"
        )


def _accelerator(path: Path, found: HardwareHandoff) -> Block:
    blocks = [block for block in found.blocks if block.vlnv == registers.VLNV]
    if len(blocks) != 1:
        there = ", ".join(sorted({block.vlnv for block in found.blocks if block.vlnv})) or "none"
        raise BundleMismatch(
            f"{path} has {len(blocks)} blocks {registers.VLNV} where the driver needs one; its blocks: {there}"
        )
    return blocks[0]


def _check_build(path: Path, block: Block, wanted: Wanted) -> None:
    """The parameter that becomes the register BUILD tells designs apart."""
    text = block.parameters.get("BUILD")
    if text is not None and (build := _number(path, text)) != wanted.build:
        raise BundleMismatch(
            f"{path} has an accelerator of build 0x{build:08X}, the design {wanted.design} is build 0x{wanted.build:08X}: "
            "run Vivado on this design"
        )


def _number(path: Path, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise BundleCorrupt(f"{path}: parameter BUILD is {text!r}, must be a number") from None


def _check_range(path: Path, found: HardwareHandoff, block: Block) -> None:
    ranges = [r for r in found.ranges if r.instance == block.instance]
    if not ranges:
        raise BundleMismatch(
            f"{path} gives {block.instance} no address: the driver needs {registers.BYTES} bytes"
        )
    for reach in ranges:
        if (size := reach.last - reach.first + 1) < registers.BYTES or reach.first % registers.BYTES:
            raise BundleMismatch(
                f"{path} gives {block.instance} {size} bytes at 0x{reach.first:X}: the registers take {registers.BYTES}, "
                f"at a multiple of it"
            )


def _clock(path: Path, block: Block, wanted: Wanted) -> Clock:
    if not block.clocks:
        raise BundleMismatch(
            f"{path} gives {block.instance} no clock; the design {wanted.design} is for {wanted.mhz:g} MHz"
        )
    for clock in block.clocks:
        _check_clock(path, clock, wanted)
    return Clock(block.clocks[0].source or ASSUMED, block.clocks[0].hertz / 1e6)


def _check_clock(path: Path, clock: ClockPort, wanted: Wanted) -> None:
    mhz = clock.hertz / 1e6
    if abs(mhz - wanted.mhz) > CLOCK_TOLERANCE * wanted.mhz:
        raise BundleMismatch(
            f"{path} clocks the accelerator with {mhz:g} MHz, the design {wanted.design} is for "
            f"{wanted.mhz:g} MHz: compile with --clock {mhz:g}, or change the clock"
        )
