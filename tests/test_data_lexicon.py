"""Commands taken apart and put together again; the words of labels."""

import pytest

from edgellm.data.lexicon import Command, Lexicon, filled, marked, numbers, occurrences, words

pytestmark = pytest.mark.train


def command(text: str, target: str, reply: str = "Done") -> Command:
    return Command.of((text, target, reply))


def test_a_row_taken_apart():
    row = command("Turn on the desk lamp in the den.", "HassTurnOn area= den name= desk lamp")
    assert (row.text, row.intent) == ("turn on the desk lamp in the den", "HassTurnOn")
    assert row.slots == (("area", "den"), ("name", "desk lamp"))
    assert row.copied == {"area": "den", "name": "desk lamp"}
    assert row.marked == "turn on the \ue001 in the \ue000"
    assert row.kind == ("HassTurnOn",)
    assert row.shape == ("HassTurnOn", "area", "name", "", "lamp")


def test_values_that_are_not_spelled_out_belong_to_the_kind():
    row = command("lights off in the den", "HassTurnOff area= den domain= light")
    assert row.kind == ("HassTurnOff", "domain=light")
    assert row.copied == {"area": "den"}


def test_without_copied_values_the_reply_belongs_to_the_kind():
    assert command("who made you", "HassRespond", "People").kind == ("HassRespond", "People")
    assert command("hi", "HassRespond", "Hello").kind != command("who made you", "HassRespond", "People").kind


@pytest.mark.parametrize(
    ("text", "target", "form"),
    [
        ("add 1 hour", "HassIncreaseTimer hours= 1", "1"),
        ("add 2 hours", "HassIncreaseTimer hours= 2", ""),
        ("lights on upstairs", "HassTurnOn floor= upstairs", "upstairs"),
        ("lights on on the top floor", "HassTurnOn floor= top floor", ""),
    ],
)
def test_forms_keep_the_english_right(text, target, form):
    assert command(text, target).forms == (form,)


def test_values_of_one_row_in_the_words_of_another():
    one = command("turn on the desk lamp in the den", "HassTurnOn area= den name= desk lamp")
    other = command("den: desk lamp on", "HassTurnOn area= den name= desk lamp")
    new = command("switch the floor lamp on in the attic", "HassTurnOn area= attic name= floor lamp")
    assert new.spoken_as(one.marked) == "turn on the floor lamp in the attic"
    assert new.spoken_as(other.marked) == "attic: floor lamp on"


def test_a_value_twice_or_inside_another_has_no_pattern():
    assert command("den lights in the den", "HassTurnOn area= den").marked is None
    assert marked("play den music", {"area": "den", "search_query": "den music"}) is None
    assert marked("the kitchen", {"area": "kitchens"}) is None


def test_longer_values_are_marked_first():
    values = {"area": "bed", "name": "bed lamp"}
    pattern = marked("bed lamp by the bed", values)
    assert pattern == "\ue001 by the \ue000"
    assert filled(pattern, values) == "bed lamp by the bed"


def test_whole_words_only():
    assert occurrences("den", "the den and the garden") == 1
    assert occurrences("a+b", "a+b a+bc") == 1


def test_words_and_numbers():
    assert words("Don't add 30% (half)!") == ["don't", "add", "30", "half"]
    assert numbers("twenty five or 30 or half") == ["30", "five", "half", "twenty"]


def test_lexicon():
    rows = [
        command("turn on the lamp in the den", "HassTurnOn area= den domain= light"),
        command("lights on in the attic", "HassTurnOn area= attic domain= light"),
        command("turn on the 5 fans in the den", "HassTurnOn area= den domain= fan"),
        command("den status", "HassTimerStatus area= den"),
    ]
    lexicon = Lexicon.of(rows)
    assert lexicon.by_kind["HassTurnOn", "domain=light"] == {"turn", "on", "the", "lamp", "in", "lights"}
    assert lexicon.by_intent["HassTurnOn"] == {"turn", "on", "the", "lamp", "in", "lights", "fans"}
    assert lexicon.by_intent["HassTimerStatus"] == {"status"}
    assert lexicon.lines_with["den"] == 3
    assert lexicon.lines_with["the"] == 3


def test_words_of_few_lines_are_left_out():
    rows = [
        command(f"den status {'once' if number == 0 else 'often'}", "HassTimerStatus area= den")
        for number in range(1000)
    ]
    assert Lexicon.of(rows).by_intent["HassTimerStatus"] == {"status", "often"}
