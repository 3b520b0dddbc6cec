"""Headers of .bit files."""

import bundles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.bundle import bitfile
from edgellm.bundle.manifest import Bitstream
from edgellm.errors import BundleCorrupt


@pytest.fixture
def place(tmp_path):
    return tmp_path / "x.bit"


def refusal(place, raw: bytes) -> str:
    place.write_bytes(raw)
    with pytest.raises(BundleCorrupt) as caught:
        bitfile.read(place)
    return str(caught.value).removeprefix(f"{place}: ")


def test_what_vivado_writes(place):
    place.write_bytes(bundles.bit())
    assert bitfile.read(place) == Bitstream(
        "system_wrapper", "Vivado 2025.2", "xczu3eg-sfvc784-2-e", "2026/03/01", "12:34:56"
    )


def test_the_documented_example(place):
    """The bytes of FPGA FAQ 26, with their own length."""
    head = bytes.fromhex(
        "00090ff00ff00ff00ff000000161000a78666f726d2e6e636400"
        "62000c763130303065666738363000"
        "63000b323030312f30382f313000"
        "64000930363a35353a303400"
        "6500000008ffffffffaa995566"
    )
    place.write_bytes(head)
    assert bitfile.read(place) == Bitstream("xform.ncd", "", "v1000efg860", "2001/08/10", "06:55:04")


def test_what_is_damaged(place):
    raw = bundles.bit()
    assert refusal(place, b"") == "not a .bit file: give the bitstream that Vivado's write_bitstream made"
    assert "not a .bit file" in refusal(place, raw[13:])
    assert refusal(place, raw[:-1]) == "135 bytes of configuration instead of 136: copy it again"
    assert refusal(place, raw + b"x") == "137 bytes of configuration instead of 136: copy it again"
    assert refusal(place, raw[:20]) == "field 'a' of its header is damaged: copy it again"
    assert (
        refusal(place, raw.replace(b"b\0\x14", b"q\0\x14"))
        == "field 'b' is missing in its header: copy it again"
    )
    assert "field 'c' of its header" in refusal(place, raw.replace(b"2026/03", b"\x1b[2J/03"))
    assert "no synchronisation word" in refusal(place, raw.replace(b"\xaa\x99", b"\xab\x99"))


def test_every_truncation_is_noticed(place):
    raw = bundles.bit()
    for size in range(len(raw)):
        refusal(place, raw[:size])


@given(st.binary(max_size=60))
def test_noise_behind_the_magic(tmp_path_factory, tail):
    refusal(tmp_path_factory.getbasetemp() / "noise.bit", bundles.bit()[:13] + tail)
