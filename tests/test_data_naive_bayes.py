"""The classifier of wordings: classes, order of words, unseen words."""

import math

import pytest

from edgellm.data.naive_bayes import NaiveBayes, features

LINES = [
    ("on", "turn the light on"),
    ("on", "switch the light on"),
    ("off", "turn the light off"),
    ("off", "switch the light off"),
    ("ask", "is the light on"),
    ("ask", "is the light off"),
]


@pytest.fixture
def judge():
    return NaiveBayes((name, text.split()) for name, text in LINES)


@pytest.mark.parametrize(
    ("name", "text"), [("on", "light on"), ("off", "the light turn off"), ("ask", "is it on")]
)
def test_the_right_class_wins(judge, name, text):
    assert judge.margin(name, text.split()) > 1
    for other in {"on", "off", "ask"} - {name}:
        assert judge.margin(other, text.split()) < -1


def test_the_value_is_the_log_odds(judge):
    """`on` and `on .` are in both lines of `on` and in one of two of `ask`; `. on` is nowhere."""
    expected = 2 * (math.log(2.1 / 3.0) - math.log(1.1 / 3.0))
    assert judge.margin("on", ["on"]) == pytest.approx(expected)
    assert judge.margin("ask", ["on"]) == pytest.approx(-expected)


def test_words_never_seen_say_nothing(judge):
    assert judge.margin("on", ["never", "heard"]) == 0.0
    assert judge.margin("on", ["never", "on"]) == pytest.approx(judge.margin("on", ["on"]))


def test_neighbours_and_edges_are_features():
    assert features(["is", "on"]) == {"is", "on", ". is", "is on", "on ."}
    assert features([]) == {". ."}


def test_classes_of_other_sizes_are_equally_likely():
    judge = NaiveBayes([("big", ["a", "b"])] * 99 + [("small", ["a", "b"])])
    assert abs(judge.margin("big", ["a", "b"])) < 5


def test_a_single_class_always_fits():
    assert NaiveBayes([("only", ["word"])]).margin("only", ["word"]) == math.inf


def test_what_a_class_has_said(judge):
    assert judge.knows("turn the", "on")
    assert not judge.knows("turn the", "ask")
    assert not judge.knows("never", "on")
    assert "never" not in judge.counts
