"""A set through a reader: every outcome in its place."""

import dataclasses

import pytest
from evaluation_model import COMMAND, RIGHT, Scripted, case_set
from toy import EOS, write_model

from edgellm.errors import EmptyPrompt
from edgellm.evaluation.examples import Codec, Reading
from edgellm.evaluation.measure import measure, measure_all
from edgellm.evaluation.sets import Case


@pytest.fixture
def codec(tmp_path):
    """With a context of 48 tokens."""
    return Codec.of(write_model(tmp_path / "toy"))


SHORT = Case(4, "stop", "HassNevermind", "Ok")
LONG = Case(5, "say it", "HassBroadcast message= " + "very " * 9 + "long", "Said")


def tokens(text):
    return [*text.encode()]


def test_outcomes_are_in_the_order_of_the_cases(codec):
    reader = Scripted(Reading(tokens("HassNevermind"), 2.0), Reading(tokens("HassStop"), 3.0))
    report = measure(reader, codec, case_set(SHORT, Case(6, "stop it", "HassStop")), "Trying")
    assert [outcome.got for outcome in report.outcomes] == ["HassNevermind", "HassStop"]
    assert [outcome.nats for outcome in report.outcomes] == [2.0, 3.0]
    assert [outcome.tokens for outcome in report.outcomes] == [
        len("HassNevermind Ok") + 1,
        len("HassStop") + 1,
    ]
    assert [example.expected[-1] == EOS for example in reader.examples] == [True, False]
    assert report.notes() == []


def test_a_line_that_does_not_fit_is_not_read_and_is_wrong(codec):
    reader = Scripted(Reading(tokens("HassNevermind"), 2.0))
    report = measure(reader, codec, case_set(LONG, SHORT), "Trying")
    assert len(reader.examples) == 1
    assert [outcome.fits for outcome in report.outcomes] == [False, True]
    summary = report.summary()
    assert (summary["lines"], summary["too_long"], summary["exact"]["percent"]) == (2, 1, 50)
    assert report.notes() == [
        "tried.tsv: 1 of 2 lines do not fit the model's context; they count as wrong and have no loss"
    ]


def test_the_context_can_be_filled_to_the_last_position(codec):
    """Fed are prompt and answer without its last token: `<s> x<TAB>` is 4, so that 45 expected tokens fit and 46 do not."""
    fits, fits_not = (Case(1, "x", "A" * letters) for letters in (44, 45))
    report = measure(Scripted(Reading([], 1.0)), codec, case_set(fits, fits_not), "Trying")
    assert [outcome.fits for outcome in report.outcomes] == [True, False]


def test_progress_shows_exact_matches(codec, capsys):
    reader = Scripted(Reading(tokens("HassNevermind"), 2.0), Reading([], 2.0))
    measure(reader, codec, case_set(SHORT, SHORT), "Trying")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("Trying  [")
    assert last.endswith("exact 50.0 %")


def test_progress_of_documents_shows_no_answers(codec, capsys):
    chosen = dataclasses.replace(case_set(Case(5, "", "stop")), commands=False)
    measure(Scripted(Reading([], 1.0)), codec, chosen, "Trying")
    assert "exact" not in capsys.readouterr().err


def test_a_report_as_json(codec):
    reader = Scripted(Reading(tokens("HassStop"), 2.0), Reading([], 1.0))
    chosen = case_set(SHORT, Case(6, "stop it", "HassStop"))
    report = measure(reader, codec, chosen, "Trying").to_dict()
    assert (report["file"], report["sha256"]) == ("tried.tsv", "0" * 64)
    assert report["confusions"] == [("HassNevermind", "HassStop", 1), ("HassStop", "", 1)]
    assert list(report["intents"]) == ["HassNevermind", "HassStop"]
    plain = measure(Scripted(Reading([], 1.0)), codec, case_set(Case(1, "a", "b"), commands=False), "Trying")
    assert not {"intents", "confusions"} & plain.to_dict().keys()


def test_every_set_is_looked_at_before_the_first_is_read(codec):
    reader = Scripted()
    with pytest.raises(EmptyPrompt, match=r"second\.tsv:9"):
        measure_all(reader, codec, [case_set(COMMAND), case_set(Case(9, "!", "A"), name="second.tsv")], "x")
    assert not hasattr(reader, "examples")
    reports = measure_all(Scripted(Reading(tokens(RIGHT), 1.0)), codec, [case_set(SHORT)], "x")
    assert list(reports) == ["tried.tsv"]
