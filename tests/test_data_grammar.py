"""English agreement of expanded sentences; values that must be copied stay untouched."""

import pytest

from edgellm.data import grammar
from edgellm.data.grammar import FIRST_MARK, fill, is_plural, plural, repair, spell

M = chr(FIRST_MARK)


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (1, "one"), (19, "nineteen"), (20, "twenty"), (42, "forty two"), (100, "one hundred")],
)
def test_numbers_are_spelled(number, words):
    assert spell(number) == words


def test_every_number_to_a_hundred_is_spelled_differently():
    assert len({spell(number) for number in range(101)}) == 101


@pytest.mark.parametrize(
    ("raw", "good"),
    [
        ("timer for 1 hours", "timer for 1 hour"),
        ("timer for 5 minute", "timer for 5 minutes"),
        ("start a 8 minute timer", "start an 8 minute timer"),
        ("start an 5 minute timer", "start a 5 minute timer"),
        ("timer for 5-minute", "timer for 5 minutes"),
        ("set a 5-minutes timer", "set a 5-minute timer"),
        ("turn on all the lamp", "turn on all the lamps"),
        ("turn on every lights", "turn on every light"),
        (f"turn on all of my {M} light", f"turn on all of my {M} lights"),
        ("lock the my door", "lock the door"),
        ("are all switchs off", "are all switches off"),
        ("make the brightness to 5 percent", "make the brightness 5 percent"),
        ("tell me the weather like", "tell me the weather"),
        ("timer for half an hours", "timer for half an hour"),
        ("  turn   it on ", "turn it on"),
    ],
)
def test_repair(raw, good):
    assert repair(raw) == good


@pytest.mark.parametrize("good", ["set the volume to 20 percent", "one hour timer", "what time is it"])
def test_good_sentences_stay(good):
    assert repair(good) == good


def test_fill_makes_the_verb_agree():
    assert fill(f"is the {M} open", ["left blinds"]) == "are the left blinds open"
    assert fill(f"are {M} open", ["front door"]) == "is front door open"


def test_fill_never_changes_a_value():
    ungrammatical = "all the lamp for 1 hours to every lights"
    assert fill(repair(f"broadcast {M}"), [ungrammatical]) == f"broadcast {ungrammatical}"


def test_floors_without_article_lose_theirs():
    assert fill(f"turn off the lights on the {M}", ["upstairs"]) == "turn off the lights upstairs"


def test_plurals():
    assert [plural(noun) for noun in ("light", "switch", "bus")] == ["lights", "switches", "buses"]
    assert [is_plural(name) for name in ("desk lamps", "glass", "iris", "door")] == [
        True,
        False,
        False,
        False,
    ]


def test_marks_lie_in_the_private_use_area():
    assert 0xE000 <= grammar.FIRST_MARK <= 0xF8FF


@pytest.mark.parametrize(
    "sentence",
    [
        "turn the lights on in the kitchen",
        "it is dark in here",
        "set it to twenty one degrees",
        "tell me how warm it is",
        "twenty one minute timer",
        f"5 minute {M} timer",
    ],
)
def test_right_english_stays(sentence):
    assert repair(sentence) == sentence


def test_names_of_people_and_timers_are_singular():
    assert fill(f"is {M} home", ["jonas"]) == "is jonas home"
    assert fill(f"is the {M} timer done", ["cookies"]) == "is the cookies timer done"
