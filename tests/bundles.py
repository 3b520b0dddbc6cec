"""Bundles to damage: a toy model as a bundle, and archives of every wrong kind."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import toy

from edgellm import manifest
from edgellm.bundle import pack
from edgellm.sim.design import FORMAT

ONNX = b"an ONNX file, as far as a bundle is concerned"


def write_model(folder: Path) -> Path:
    """A model folder that a bundle can hold; nothing can run it."""
    toy.write_model(folder)
    (folder / "model.onnx").write_bytes(ONNX)
    (folder / "README.md").write_text("a toy\n")
    names = ("model.onnx", "tokenizer.json")
    described = manifest.Manifest(
        "toy",
        "says what it is told",
        {name: manifest.describe(folder / name) for name in names},
        (toy.EOS,),
        toy.ARCH,
        licence="MIT",
    )
    manifest.write(folder, described)
    return folder


def write_bundle(folder: Path) -> Path:
    """`toy.edgellm` in the folder, a model alone."""
    path = folder / "toy.edgellm"
    pack.pack(write_model(folder / "toy"), path)
    return path


PART, BUILD, CLOCK_MHZ = "xczu3eg-sfvc784-2-e", 0xC0FFEE01, 200


def write_design(folder: Path, part: str = PART, mhz: int = CLOCK_MHZ) -> Path:
    """A design folder around the toy, with every kind of file that a bundle takes; nothing can simulate it."""
    model = write_model(folder / "model")
    for name in ("rtl/block.sv", "sim/mvu.sv", "mem/weights.dat", "top.sv", "accelerator.v", "report.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    (folder / "finn.log").write_text("of the build alone\n")
    (folder / "registers.json").write_text('{"bytes": 256}\n')
    (folder / "accelerator.hwh").write_text(hwh_text(part=(part, ""), mhz=mhz, source=None))
    design = {
        "format": FORMAT,
        "model": {"name": "toy", "sha256": manifest.describe(model / "model.onnx").sha256},
        "board": "aup-zu3",
        "part": part,
        "clock_mhz": mhz,
        "slots": 8,
        "context": 48,
        "layers": 1,
        "vocab": 259,
        "shown_beats": 2,
        "top": "top",
        "sources": ["sim/mvu.sv", "rtl/block.sv", "top.sv"],
        "shell": {"module": "accelerator", "build": BUILD, "sources": ["accelerator.v"]},
        "probes": [],
        "cells": [],
        "tools": {"edgellm": "0.1.0"},
    }
    (folder / "design.json").write_text(json.dumps(design))
    return folder


def bit(
    part: str = "xczu3eg-sfvc784-2-e",
    name: str = "system_wrapper;UserID=0XFFFFFFFF;Version=2025.2",
    data: bytes = b"\xff" * 32 + b"\xaa\x99\x55\x66" + bytes(100),
) -> bytes:
    """A .bit file as Vivado writes them, without a configuration worth the name."""

    def text(tag: str, value: str) -> bytes:
        raw = value.encode() + b"\0"
        return tag.encode() + struct.pack(">H", len(raw)) + raw

    magic = bytes.fromhex("00090ff00ff00ff00ff0000001")
    fields = text("a", name) + text("b", part) + text("c", "2026/03/01") + text("d", "12:34:56")
    return magic + fields + b"e" + struct.pack(">I", len(data)) + data


def hwh_text(
    part: tuple[str, str] = ("xczu3eg", "sfvc784"),
    mhz: float = CLOCK_MHZ,
    source: str | None = "clk_wiz_0/clk_out1",
    vlnv: str = "edgellm:edgellm:accelerator:1.0",
    last: int = 0xA000_0FFF,
    build: str | None = f"0x{BUILD:08X}",
) -> str:
    """A hardware hand-off with the elements that Vivado writes for an accelerator and a processing system."""
    device, package = part
    wired = ""
    if source:
        cell, port = source.split("/")
        wired = f'<CONNECTIONS><CONNECTION INSTANCE="{cell}" PORT="{port}"/></CONNECTIONS>'
    number = f'<PARAMETER NAME="BUILD" VALUE="{build}"/>' if build else ""
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="Sun Mar  1 12:00:00 2026" VIVADOVERSION="2025.2">
  <SYSTEMINFO ARCH="zynquplus" DEVICE="{device}" NAME="system" PACKAGE="{package}" SPEEDGRADE="-2"/>
  <EXTERNALPORTS/>
  <MODULES>
    <MODULE FULLNAME="/accelerator" INSTANCE="accelerator" MODTYPE="accelerator" VLNV="{vlnv}">
      <PARAMETERS>{number}<PARAMETER NAME="C_BASEADDR" VALUE="0xA0000000"/></PARAMETERS>
      <PORTS>
        <PORT CLKFREQUENCY="{mhz * 1e6:.0f}" DIR="I" NAME="ap_clk" SIGIS="clk">{wired}</PORT>
        <PORT DIR="I" NAME="ap_rst_n" SIGIS="rst"/>
      </PORTS>
    </MODULE>
    <MODULE FULLNAME="/ps" INSTANCE="ps" MODTYPE="zynq_ultra_ps_e" VLNV="xilinx.com:ip:zynq_ultra_ps_e:3.5">
      <PARAMETERS><PARAMETER NAME="PSU__FPGA_PL0_ENABLE" VALUE="1"/></PARAMETERS>
      <MEMORYMAP>
        <MEMRANGE ADDRESSBLOCK="Reg" BASEVALUE="0xA0000000" HIGHVALUE="0x{last:08X}" INSTANCE="accelerator"/>
        <MEMRANGE ADDRESSBLOCK="Reg" BASEVALUE="0xA0010000" HIGHVALUE="0xA001FFFF" INSTANCE="irq_controller"/>
      </MEMORYMAP>
    </MODULE>
  </MODULES>
</EDKSYSTEM>
"""


def contents(path: Path) -> dict[str, bytes]:
    """Members of a bundle, as any zip program reads them."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def describe(members: dict[str, bytes], **changed: object) -> bytes:
    """bundle.json of the toy for these members, with fields replaced."""
    import hashlib

    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in members.items()
    }
    onnx = listed.get("model/model.onnx", {"sha256": "0" * 64})
    fields = {
        "format": 1,
        "name": "toy",
        "note": "",
        "model": {"name": "toy", "sha256": onnx["sha256"], "numerics_version": 1, "licence": "MIT"},
        "target": None,
        "provenance": {},
        "members": listed,
        **changed,
    }
    return json.dumps(fields).encode()


def raw_archive(entries: Iterable[dict[str, object]], tail: bytes = b"") -> bytes:
    """A zip file with any headers one likes. Fields of an entry: name, data, and what overrides its headers."""
    body, directory, count = b"", b"", 0
    for entry in entries:
        name, data = entry["name"], entry.get("data", b"")
        assert isinstance(name, (str, bytes))
        assert isinstance(data, bytes)
        raw = name if isinstance(name, bytes) else name.encode()
        f = {
            "version": 20,
            "system": 3,
            "flags": 0,
            "method": 0,
            "crc": zlib.crc32(data),
            "packed": len(data),
            "size": len(data),
            "mode": 0o100644 << 16,
            "extra": b"",
            "offset": len(body),
            **entry,
        }
        sizes = (f["crc"], f["packed"], f["size"], len(raw), len(f["extra"]))
        if not f.get("no_local"):
            body += struct.pack("<4s5H3I2H", b"PK\3\4", f["version"], f["flags"], f["method"], 0, 33, *sizes)
            body += raw + f["extra"] + data
        directory += struct.pack(
            "<4s6H3I5H2I",
            b"PK\1\2",
            20 | f["system"] << 8,
            f["version"],
            f["flags"],
            f["method"],
            0,
            33,
            *sizes,
            0,
            0,
            0,
            f["mode"],
            f["offset"],
        )
        directory += raw + f["extra"]
        count += 1
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end + tail
