"""The protobuf wire format, as far as ONNX files need it: fields of a message, bounds checked.

Source: protobuf.dev, "Encoding". Damaged input raises ModelCorrupt and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgellm.errors import ModelCorrupt

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
_WIDTH = {FIXED64: 8, FIXED32: 4}

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) in file order: varints as unsigned int, everything else as raw bytes."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ModelCorrupt("a field has number 0")
        if wire_type == VARINT:
            value: Value
            value, at = varint(message, at)
            yield number, value
            continue
        length, at = _length(message, at, wire_type)
        if length > len(message) - at:
            raise ModelCorrupt(f"field {number} has {length} bytes and only {len(message) - at} are left")
        yield number, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Unsigned 64-bit value at offset `at`, and the offset behind it."""
    value = 0
    for index, byte in enumerate(message[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise ModelCorrupt(f"a number at byte {at} does not end")


def signed(value: Value) -> int:
    """A varint field as int64."""
    if not isinstance(value, int):
        raise ModelCorrupt("a number is stored as bytes")
    return value - (1 << 64) if value >> 63 else value


def integers(value: Value) -> list[int]:
    """One occurrence of a repeated int64 field, packed or not."""
    if isinstance(value, int):
        return [signed(value)]
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(signed(number))
    return numbers


def chunk(value: Value) -> memoryview:
    """A bytes or message field."""
    if isinstance(value, int):
        raise ModelCorrupt("a message is stored as a number")
    return value


def text(value: Value) -> str:
    """A string field."""
    try:
        return bytes(chunk(value)).decode("utf-8")
    except UnicodeDecodeError:
        raise ModelCorrupt("a name is not valid UTF-8") from None


def _length(message: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    if wire_type == BYTES:
        return varint(message, at)
    if wire_type not in _WIDTH:
        raise ModelCorrupt(f"a field has wire type {wire_type}, which ONNX files do not use")
    return _WIDTH[wire_type], at
