"""The hardware hand-off (.hwh): the XML in which Vivado describes a block design. Only what a bundle checks is read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from edgellm.errors import BundleCorrupt

SIZE_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of an instance, from a processor's point of view."""

    instance: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ClockPort:
    """A clock that enters a block: what it comes from ("" where the file does not say), and its frequency in Hz."""

    source: str
    hertz: int


@dataclass(frozen=True, slots=True)
class Block:
    """One IP instance."""

    instance: str
    vlnv: str
    clocks: tuple[ClockPort, ...]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HardwareHandoff:
    """A block design: device and package of its part (`xczu3eg`, `sfvc784`), blocks, address ranges."""

    part: str
    blocks: tuple[Block, ...]
    ranges: tuple[Range, ...]


def read(path: Path) -> HardwareHandoff:
    """Read a .hwh file; BundleCorrupt when it is none."""
    root = _parse(path)
    system = root.find(".//SYSTEMINFO")
    if system is None:
        raise BundleCorrupt(f"{path}: no SYSTEMINFO in it, so it is not a hardware hand-off of Vivado")
    try:
        return HardwareHandoff(
            part="-".join(filter(None, (system.get("DEVICE"), system.get("PACKAGE")))),
            blocks=tuple(_block(module) for module in root.iter("MODULE")),
            ranges=tuple(dict.fromkeys(_range(entry) for entry in root.iter("MEMRANGE"))),
        )
    except ValueError as error:
        raise BundleCorrupt(f"{path}: a number in it is damaged ({error})") from None


def _parse(path: Path) -> Element:
    """Root element. Entities, which could blow up or read other files, are refused with the DOCTYPE they need."""
    if path.stat().st_size > SIZE_LIMIT:
        raise BundleCorrupt(
            f"{path}: {path.stat().st_size} bytes, more than the {SIZE_LIMIT} a .hwh may have"
        )
    try:
        text = path.read_bytes().decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BundleCorrupt(f"{path}: has a document type, which no .hwh has")
        return ET.fromstring(text)
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise BundleCorrupt(
            f"{path}: not an XML file ({error}): give the .hwh beside the bitstream"
        ) from None


def _block(module: Element) -> Block:
    ports = [port for port in module.iter("PORT") if port.get("SIGIS") == "clk" and port.get("DIR") == "I"]
    clocks = tuple(_clock(port) for port in ports if port.get("CLKFREQUENCY"))
    parameters = {p.get("NAME", ""): p.get("VALUE", "") for p in module.iterfind("PARAMETERS/PARAMETER")}
    return Block(module.get("INSTANCE", ""), module.get("VLNV", ""), clocks, parameters)


def _clock(port: Element) -> ClockPort:
    connection = port.find(".//CONNECTION")
    if connection is None:
        return ClockPort(port.get("SIGNAME", ""), int(port.get("CLKFREQUENCY", "")))
    source = f"{connection.get('INSTANCE', '')}/{connection.get('PORT', '')}"
    return ClockPort(source, int(port.get("CLKFREQUENCY", "")))


def _range(entry: Element) -> Range:
    return Range(
        entry.get("INSTANCE", ""), int(entry.get("BASEVALUE", "0"), 16), int(entry.get("HIGHVALUE", "0"), 16)
    )
