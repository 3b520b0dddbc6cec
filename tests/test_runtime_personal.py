"""Personal data: what is found, what only looks like it, and that no text takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.runtime import personal


def masked(text, kinds=personal.KINDS):
    return personal.masked(text, kinds, personal.label)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("write to jo.doe+x@mail.example.org.", "write to [email]."),
        ("a@b is none, nor @home, nor a@b.c", "a@b is none, nor @home, nor a@b.c"),
        ("pay DE89 3704 0044 0532 0130 00 NOW", "pay [iban] NOW"),
        ("pay gb29nwbk60161331926819, please", "pay [iban], please"),
        ("pay DE89 3704 0044 0532 0130 01", "pay DE89 3704 0044 0532 0130 01"),  # wrong check digits
        ("pay ZZ89 3704 0044 0532 0130 00", "pay ZZ89 3704 0044 0532 0130 00"),  # no such country
        ("card 4111 1111 1111 1111 ok", "card [card] ok"),
        ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),  # fails Luhn's check
        ("amex 378282246310005", "amex [card]"),
        ("call +49 (0)30 123456", "call [phone]"),
        ("call 030/1234567 or (555) 123-4567", "call [phone] or [phone]"),
        ("set the light to 40 percent for 10 minutes at 07:30", None),
        ("the year 2024, room 12345, 1 2 3", None),
        ("", None),
    ],
)
def test_what_is_found(text, want):
    assert masked(text) == (text if want is None else want)


def test_only_the_kinds_that_are_asked_for():
    text = "a@b.org 4111 1111 1111 1111"
    assert masked(text, ["card"]) == "a@b.org [card]"
    assert masked(text, []) == text


def test_the_hook_sees_kind_and_text():
    seen = []
    personal.masked("a@b.org, +1 555 123 4567", personal.KINDS, lambda *found: seen.append(found) or "")
    assert seen == [("email", "a@b.org"), ("phone", "+1 555 123 4567")]


@given(st.text())
def test_any_text_is_taken(text):
    assert isinstance(masked(text), str)


@pytest.mark.parametrize("part", ["a", "0", "+1", "DE00", "1 ", "a@", "a.", "(555) ", "-1", " ", "a@a."])
def test_the_time_is_linear_in_the_text(part):
    """Sixteen times the text takes nowhere near 256 times as long."""

    def seconds(count):
        text, begun = part * count, time.process_time()
        for _ in range(3):
            masked(text)
        return time.process_time() - begun

    assert seconds(32000) < 100 * max(seconds(2000), 1e-3)
