"""What counts as right, and the numbers that follow."""

import math

import pytest
from evaluation_model import COMMAND, RIGHT

from edgellm.evaluation import scores
from edgellm.evaluation.scores import Outcome, score, share, slot_scores
from edgellm.evaluation.sets import Case


def outcome(got, case=COMMAND, nats=1.0, **fields):
    return Outcome(case, True, got, 10, nats, **fields)


def text(got, case, nats=1.0):
    return Outcome(case, False, got, 4, nats)


@pytest.mark.parametrize(
    ("got", "wrong", "percents"),
    [
        (RIGHT, "", (100, 100, 100)),
        (RIGHT.replace("lamp", "lump"), "slots", (100, 0, 100)),
        (RIGHT.replace(" name= lamp", ""), "slots", (100, 0, 100)),
        (RIGHT.replace("\t", " item= milk\t"), "slots", (100, 0, 100)),
        (RIGHT.replace("lamp", "lamp name= lamp"), "slots", (100, 0, 100)),
        (RIGHT.replace("TurnOn", "TurnOff"), "intent", (0, 0, 100)),
        (RIGHT.split("\t")[0], "reply", (100, 100, 0)),
        ("", "intent", (0, 0, 0)),
    ],
)
def test_what_counts(got, wrong, percents):
    only = outcome(got)
    report = score([only])
    assert only.wrong == wrong
    assert tuple(report[name]["percent"] for name in ("intent", "exact", "reply")) == percents


def test_a_reply_that_is_not_expected_is_not_judged():
    open_case = Case(1, "turn on the lamp", "HassTurnOn name= lamp")
    right = outcome("HassTurnOn name= lamp\twhatever", open_case)
    assert right.wrong == ""
    assert "reply" not in score([right])
    both = score([right, outcome(RIGHT), outcome("")])
    assert both["reply"]["percent"] == 50
    assert both["exact"]["percent"] == 66.7


def test_plain_text_is_right_as_a_whole():
    case = Case(1, "p", "one two")
    report = score([text("one two", case), text("one two three", case), text("", case)])
    assert report["exact"]["percent"] == 33.3
    assert not {"intent", "reply", "slots"} & report.keys()
    assert [text(got, case).wrong for got in ("one two", "one")] == ["", "text"]


def test_documents_without_a_prompt_are_not_judged_as_answers():
    case = Case(1, "", "one two")
    assert score([text("one two", case)]).keys() <= {"lines", "loss", "bits_per_byte"}


def test_text_that_goes_on_is_right_up_to_where_it_stops():
    case = Case(1, "p", "one two", ends=False)
    assert [text(got, case).exact for got in ("one two three", "one two", "one tw")] == [True, True, False]


def test_intervals_are_wilsons():
    assert share(90, 100) == {"percent": 90.0, "low": 82.6, "high": 94.5}
    assert share(0, 20) == {"percent": 0.0, "low": 0.0, "high": 16.1}
    assert share(5, 5) == {"percent": 100.0, "low": 56.6, "high": 100.0}
    assert math.copysign(1, share(0, 20)["low"]) == 1


def test_loss_and_bits_per_byte():
    report = score([outcome(RIGHT, nats=2.0), outcome("", nats=5.0)])
    assert report["loss"] == 7 / 20
    assert report["bits_per_byte"] == pytest.approx(7 / math.log(2) / (2 * len(RIGHT)), abs=1e-5)


def test_bytes_are_those_of_utf8():
    assert score([text("x", Case(1, "p", "üü"), math.log(2))])["bits_per_byte"] == 0.25


def test_a_loss_that_is_not_known_is_left_out():
    report = score([outcome(RIGHT), outcome(RIGHT, nats=None)])
    assert not {"loss", "bits_per_byte"} & report.keys()
    assert report["exact"]["percent"] == 100


def test_lines_that_do_not_fit_count_as_wrong_and_have_no_loss():
    report = score([outcome(RIGHT, nats=3.0), outcome("", nats=None, fits=False)])
    assert (report["lines"], report["too_long"], report["loss"], report["exact"]["percent"]) == (
        2,
        1,
        0.3,
        50,
    )
    assert "loss" not in score([outcome("", nats=None, fits=False)])


def test_slots_are_counted_over_all_lines():
    wanted = Case(1, "c", "A x= 1 y= 2 z= 3")
    report = slot_scores([outcome("B x= 1 y= 5", wanted), outcome("A x= 1", Case(2, "d", "A x= 1"))])
    assert (report["expected"], report["given"], report["right"]) == (4, 3, 2)
    assert (report["precision"]["percent"], report["recall"]["percent"], report["f1"]) == (66.7, 50.0, 57.1)


def test_a_slot_given_twice_is_right_once():
    report = slot_scores([outcome("A x= 1 x= 1", Case(1, "c", "A x= 1"))])
    assert (report["given"], report["right"]) == (2, 1)


def test_without_slots_there_is_no_f1():
    assert slot_scores([outcome("A", Case(1, "c", "A"))]) == {"expected": 0, "given": 0, "right": 0}
    nothing_given = slot_scores([outcome("A", Case(1, "c", "A x= 1"))])
    assert "precision" not in nothing_given
    assert nothing_given["f1"] == 0


def test_per_intent_and_confusions():
    cases = [Case(1, "c", "A x= 1"), Case(2, "c", "B"), Case(3, "c", "B")]
    outcomes = [outcome(got, case) for got, case in zip(["A x= 2", "B", "A"], cases, strict=True)]
    table = scores.per_intent(outcomes)
    assert list(table) == ["A", "B"]
    assert [(row["lines"], row["intent"]["percent"], row["exact"]["percent"]) for row in table.values()] == [
        (1, 100, 0),
        (2, 50, 50),
    ]
    assert scores.confusions(outcomes) == {("A", "A"): 1, ("B", "B"): 1, ("B", "A"): 1}
