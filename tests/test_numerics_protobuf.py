"""The wire format: the encodings of protobuf.dev and every way in which they can be damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import ModelCorrupt
from edgellm.numerics.protobuf import chunk, fields, integers, signed, text, varint


def encode(value):
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def read(data):
    return [(n, bytes(v) if isinstance(v, memoryview) else v) for n, v in fields(memoryview(data))]


@given(st.integers(0, 2**64 - 1))
def test_varint(value):
    data = encode(value)
    assert varint(memoryview(data + b"\x05"), 0) == (value, len(data))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed(value):
    assert signed(value % 2**64) == value


def test_every_wire_type():
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\1\2\3\4" + b"\x21" + bytes(8)
    assert read(data) == [(1, 150), (2, b"abc"), (3, b"\1\2\3\4"), (4, bytes(8))]


def test_integers_packed_or_not():
    assert integers(5) == [5]
    assert integers(2**64 - 1) == [-1]
    assert integers(memoryview(b"\x05\x96\x01")) == [5, 150]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x12\x05abc", "field 2 has 5 bytes and only 3 are left"),
        (b"\x12", "a number at byte 1 does not end"),
        (b"\x80", "a number at byte 0 does not end"),
        (b"\x08" + b"\xff" * 11, "a number at byte 1 does not end"),
        (b"\x03", "a field has number 0"),
        (b"\x0b", "a field has wire type 3, which ONNX files do not use"),
        (b"\x1d\1\2", "field 3 has 4 bytes and only 2 are left"),
    ],
)
def test_damage(data, message):
    with pytest.raises(ModelCorrupt) as caught:
        read(data)
    assert str(caught.value) == message


def test_values_of_the_wrong_kind():
    with pytest.raises(ModelCorrupt, match="a message is stored as a number"):
        chunk(3)
    with pytest.raises(ModelCorrupt, match="a number is stored as bytes"):
        signed(memoryview(b"x"))
    with pytest.raises(ModelCorrupt, match="a name is not valid UTF-8"):
        text(memoryview(b"\xff"))
