"""Answers taken apart."""

import pytest
from evaluation_model import RIGHT

from edgellm.evaluation.answers import Answer, parse


def test_an_answer():
    assert parse(RIGHT) == Answer(
        "HassTurnOn", (("area", "dining room"), ("name", "lamp")), "Turned on the light"
    )


def test_the_order_of_slots_does_not_matter_but_their_number_does():
    assert parse("A x= 1 y= 2") == parse("A y= 2 x= 1")
    assert parse("A x= 1 x= 1") != parse("A x= 1")
    assert parse("A x= 1 x= 2") == parse("A x= 2 x= 1") != parse("A x= 2")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", Answer("", (), "")),
        ("\t", Answer("", (), "")),
        ("HassTurnOn", Answer("HassTurnOn", (), "")),
        (" area= x", Answer("", (("area", "x"),), "")),
        ("HassA b= \t\t", Answer("HassA", (("b", ""),), "\t")),
    ],
)
def test_any_text_can_be_taken_apart(text, answer):
    assert parse(text) == answer
