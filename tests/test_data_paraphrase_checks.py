"""Every reason for which a paraphrase is rejected, and what passes."""

import paraphrase_corpus
import pytest

from edgellm.data.lexicon import Command, Lexicon
from edgellm.data.paraphrase_checks import Checks

pytestmark = pytest.mark.train

LIGHT = Command.of(("turn on the den lights", "HassTurnOn area= den domain= light", "On"))
TIMER = Command.of(("set a timer for 10 minutes", "HassStartTimer minutes= 10", "Started"))


@pytest.fixture
def checks():
    rows = paraphrase_corpus.rows()
    commands = [Command.of(row) for row in rows]
    return Checks(commands, Lexicon.of(commands), [row[0] for row in rows])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("get the lights on can you turn on the den", None),
        ("on the lights of den now", None),  # one word the corpus does not hold
        ("get the gloomy den lights on", None),  # one word the corpus does not hold
        ("get the gloomy dusky den lights on", "unknown words"),
        ("turn off on the den lights now", "words of other labels"),
        ("turn on the den fans", "repeated"),
        ("can you den now please", "nothing but the values"),
        ("do not get the lights of den on", "new negation"),
        ("the lights den can you turn now", "words fit another intent"),
        ("on fans now den", "words of other labels"),
        ("den can switch turn on now", "a value is not said"),
        ("lights on now", "value lost or doubled"),
        ("den lights den on", "value lost or doubled"),
        ("den lights on in 10 minutes", "other numbers"),
        ("turn on the d\u00e9n lights", "not plain short English"),
        ("turn on the den lights (please)", "not plain short English"),
        ("on " * 16 + "den lights", "not plain short English"),
        ("switch the attic lights on", "value lost or doubled"),
        ("switch the den lights on", "repeated"),
        ("the the den lights on now", "like a known line but for common words"),
    ],
)
def test_reasons(checks, text, reason):
    assert (checks.form(text, LIGHT) or checks.wording(text, LIGHT)) == reason


def test_a_text_passes_once(checks):
    assert checks.wording("switch on the lights den", LIGHT) is None
    assert checks.wording("switch on the lights den", LIGHT) == "repeated"
    assert checks.wording("the switch on lights den", LIGHT) == "like a known line but for common words"


def test_numbers_must_stay(checks):
    assert checks.wording("count 10 minutes down", TIMER) is None
    assert checks.form("count minutes down", TIMER) == "value lost or doubled"
    assert checks.form("count twenty 10 minutes", TIMER) == "other numbers"


def test_common_words_belong_to_nobody(checks):
    assert {"the", "can", "you", "now"} <= checks.common
    assert not {"on", "off", "timer"} & checks.common


def test_signs_are_the_words_that_say_an_uncopied_value(checks):
    assert checks.signs["HassTurnOn", "domain=light"] == {"lights"}
    assert checks.signs["HassTurnOff", "domain=fan"] == {"fans"}
