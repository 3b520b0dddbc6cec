"""Typed access to JSON."""

import pytest

from edgellm import fields
from edgellm.errors import ConfigError


def top(raw: bytes):
    return fields.parse(raw, "x.json", ConfigError, "write it again")


def test_values_of_the_kind_asked_for():
    data = top(b'{"a": 1, "b": "x", "c": [1, 2], "d": {"e": 1.5}, "f": null, "g": true}')
    assert (data.get("a", int), data.get("b", str), data.list_of("c", int)) == (1, "x", [1, 2])
    assert data.inner("d").get("e", float) == 1.5
    assert data.optional("f") is None
    assert data.optional("d").get("e", float) == 1.5


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "x.json: not valid JSON: write it again"),
        (b"\xff", "x.json: not valid JSON: write it again"),
        (b"[" * 100_000, "x.json: not valid JSON: write it again"),
        (b"[]", "x.json: field d must be an object"),
        (b'{"d": null}', "x.json: field d must be an object"),
        (b'{"d": {}}', "x.json: field d.e must be an integer"),
        (b'{"d": {"e": true}}', "x.json: field d.e must be an integer"),
        (b'{"d": {"e": 1.0}}', "x.json: field d.e must be an integer"),
        (b'{"d": {"e": 1, "l": 1}}', "x.json: field d.l must be a list"),
        (b'{"d": {"e": 1, "l": [1, "2"]}}', "x.json: field d.l must hold an integer only"),
        (b'{"d": {"e": 1, "l": [], "z": 0}}', "x.json: unknown field d.z"),
    ],
)
def test_what_is_wrong_is_named(raw, message):
    with pytest.raises(ConfigError) as caught:
        data = top(raw).inner("d")
        data.get("e", int)
        data.list_of("l", int)
        data.only("e", "l")
    assert str(caught.value) == message


def test_a_missing_field_is_not_null():
    with pytest.raises(ConfigError, match="field d must be an object"):
        top(b"{}").optional("d")
