"""The committed test sets: whole, balanced where it matters, strangers to each other, and what makes two commands the same."""

import re
from collections import Counter

import pytest

from edgellm.data import testsets
from edgellm.data.testsets import normal_form

LINES = {"heldout": 500, "templates": 500, "phrasings": 500, "values": 500}
COPIED = ("name", "item", "message", "search_query", "conversation_command")


def rows(name):
    return [line.split("\t") for line in testsets.text_of(name).splitlines()]


@pytest.mark.parametrize("name", testsets.SETS)
def test_lines_have_three_columns_and_a_sound_target(name):
    for row in rows(name):
        assert len(row) == 3, row
        assert re.fullmatch(r"Hass\w+( \w+= [^\t=]+)*", row[1]), row
        keys = re.findall(r" (\w+)=", row[1])
        assert keys == sorted(set(keys)), row


@pytest.mark.parametrize("name", testsets.BUILT)
def test_built_sets_have_their_size_and_replies(name):
    assert len(rows(name)) == LINES[name]
    assert all(row[2].strip() for row in rows(name))


def test_no_command_is_asked_twice():
    forms = Counter(normal_form(row[0]) for name in testsets.SETS for row in rows(name))
    assert [form for form, count in forms.items() if count > 1] == []


def test_free_set_is_large_and_balanced():
    intents = Counter(row[1].split(" ")[0] for row in rows("free"))
    assert sum(intents.values()) >= 300
    assert len(intents) == 42
    assert max(intents.values()) <= 1.5 * min(intents.values())


@pytest.mark.parametrize("name", testsets.SETS)
def test_copied_values_stand_in_the_command(name):
    for command, target, _ in rows(name):
        for key, value in re.findall(r" (\w+)= (.+?)(?= \w+= |$)", target):
            assert key not in COPIED or value in command.lower(), (command, target)


@pytest.mark.parametrize(
    "command",
    ["turn on the lamp", "Turn on the lamp.", "please turn on the lamp", "could you please turn on the lamp?",
     "hey, turn on the lamp now", "turn on the lamp, thanks"],
)  # fmt: skip
def test_politeness_and_punctuation_do_not_make_another_command(command):
    assert normal_form(command) == "turn on the lamp"


def test_other_words_do():
    assert normal_form("turn on the lamps") != normal_form("turn on the lamp")
    assert normal_form("please") == "please"


def test_asked_holds_every_set():
    assert len(testsets.asked()) == sum(len(rows(name)) for name in testsets.SETS)
