"""Bitstream and hardware hand-off against the design they belong to: every difference is named, with both values."""

from pathlib import Path

import bundles
import pytest

from edgellm.bundle import hardware, hwh
from edgellm.bundle.hardware import Wanted, device
from edgellm.bundle.manifest import Clock
from edgellm.errors import BundleCorrupt, BundleMismatch

WANTED = Wanted(Path("out/zu3"), bundles.PART, bundles.CLOCK_MHZ, bundles.BUILD)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "x.hwh"


def check(place, **changed):
    place.write_text(bundles.hwh_text(**changed))
    return hardware.check_handoff(place, WANTED)


def mismatch(place, **changed) -> str:
    with pytest.raises(BundleMismatch) as caught:
        check(place, **changed)
    return str(caught.value).removeprefix(f"{place} ")


def test_clock_and_blocks_of_a_handoff_that_fits(place):
    clock, blocks = check(place, mhz=199.998)
    assert clock == Clock("clk_wiz_0/clk_out1", 199.998)
    assert blocks == ("edgellm:edgellm:accelerator:1.0", "xilinx.com:ip:zynq_ultra_ps_e:3.5")
    assert check(place, source=None)[0].source == "assumed"
    assert check(place, build=None)[0] == Clock("clk_wiz_0/clk_out1", 200.0)
    assert check(place, build=str(bundles.BUILD))


def test_spellings_of_parts():
    assert device("xc7z020clg400-1") == device("7z020-clg400") == device("7z020clg400") == "7z020clg400"
    assert device("xczu3eg-sfvc784-2-e") == device("xczu3eg-sfvc784") == device("XCZU3EG-SFVC784-2-E")
    assert device("xck26-sfvc784-2LV-c") == "k26sfvc784"
    assert device("xczu3eg-sbva484-1-e") != device("xczu3eg-sfvc784-1-e")


def test_what_differs(place):
    assert mismatch(place, part=("xczu7ev", "ffvc1156")) == (
        "is for xczu7ev-ffvc1156, the design out/zu3 for xczu3eg-sfvc784-2-e: compile for that board, or give the "
        "result of this design"
    )
    assert mismatch(place, vlnv="xilinx.com:hls:other:1.0") == (
        "has 0 blocks edgellm:edgellm:accelerator:1.0 where the driver needs one; its blocks: "
        "xilinx.com:hls:other:1.0, xilinx.com:ip:zynq_ultra_ps_e:3.5"
    )
    assert mismatch(place, last=0xA000_007F) == (
        "gives accelerator 128 bytes at 0xA0000000: the registers take 256, at a multiple of it"
    )
    assert mismatch(place, mhz=250) == (
        "clocks the accelerator with 250 MHz, the design out/zu3 is for 200 MHz: compile with --clock 250, or change the "
        "clock"
    )
    assert "197 MHz" in mismatch(place, mhz=197)
    assert check(place, mhz=198.1)[0].mhz == 198.1
    assert mismatch(place, build="0x12345678") == (
        "has an accelerator of build 0x12345678, the design out/zu3 is build 0xC0FFEE01: run Vivado on this design"
    )


def test_no_address_no_clock_two_accelerators(place):
    text = bundles.hwh_text()
    for old, new, message in (
        (
            'INSTANCE="accelerator"/>',
            'INSTANCE="other"/>',
            "gives accelerator no address: the driver needs 256 bytes",
        ),
        ('SIGIS="clk"', 'SIGIS="data"', "gives accelerator no clock; the design out/zu3 is for 200 MHz"),
        ("xilinx.com:ip:zynq_ultra_ps_e:3.5", "edgellm:edgellm:accelerator:1.0", "has 2 blocks edgellm"),
    ):
        place.write_text(text.replace(old, new))
        with pytest.raises(BundleMismatch, match=message):
            hardware.check_handoff(place, WANTED)


def test_bitstreams(tmp_path):
    path = tmp_path / "x.bit"
    path.write_bytes(bundles.bit())
    assert hardware.check_bitstream(path, WANTED).design == "system_wrapper"
    path.write_bytes(bundles.bit(part="7z020clg400"))
    with pytest.raises(BundleMismatch) as caught:
        hardware.check_bitstream(path, WANTED)
    assert str(caught.value).startswith(
        f"{path} is for 7z020clg400, the design out/zu3 for xczu3eg-sfvc784-2-e: "
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an XML file"),
        (b"<a>", "not an XML file"),
        (b"\xff\xfe", "not an XML file"),
        (b"<a/>", "no SYSTEMINFO in it"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "has a document type, which no .hwh has"),
        ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "not an XML file"),
        (b'<a><SYSTEMINFO/><MEMRANGE BASEVALUE="zzz"/></a>', "a number in it is damaged"),
        (
            b'<a><SYSTEMINFO/><MODULE><PORT SIGIS="clk" DIR="I" CLKFREQUENCY="x"/></MODULE></a>',
            "a number in it",
        ),
        (b"<a>" * 200_000, "not an XML file"),
    ],
)
def test_what_is_no_handoff(place, raw, message):
    place.write_bytes(raw)
    with pytest.raises(BundleCorrupt, match=message):
        hwh.read(place)


def test_a_build_that_is_no_number(place):
    place.write_text(bundles.hwh_text(build="&quot;11&quot;"))
    with pytest.raises(BundleCorrupt, match="parameter BUILD is '\"11\"', must be a number"):
        hardware.check_handoff(place, WANTED)


def test_a_huge_handoff_is_not_read(place, monkeypatch):
    monkeypatch.setattr(hwh, "SIZE_LIMIT", 100)
    with pytest.raises(BundleCorrupt, match=r"more than the 100 a \.hwh may have"):
        check(place)
