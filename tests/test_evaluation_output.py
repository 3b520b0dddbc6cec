"""What an evaluation leaves behind."""

import json

import pytest
from evaluation_model import COMMAND, RIGHT, case_set

from edgellm import __version__
from edgellm.evaluation.measure import SetReport
from edgellm.evaluation.output import Evaluation, write
from edgellm.evaluation.scores import Outcome
from edgellm.evaluation.sets import Case

pytestmark = pytest.mark.train  # matplotlib


def report(outcomes, name, commands=True):
    return SetReport(case_set(*(o.case for o in outcomes), name=name, commands=commands), tuple(outcomes))


COMMANDS = report(
    [
        Outcome(COMMAND, True, RIGHT, 10, 0.5),
        Outcome(Case(2, "stop", "HassNevermind", "Ok"), True, "HassNevermind\tNo", 5, 1.0),
        Outcome(Case(4, "stop it", "HassNevermind"), True, "HassStop\t", 5, 1.0),
    ],
    "heldout",
)
TEXT = report([Outcome(Case(1, "a\\b", "x\ny"), False, "x\r\ny", 4, 1.0)], "own.jsonl", commands=False)


def test_files(tmp_path):
    (tmp_path / "mine.txt").write_text("stays")
    evaluation = Evaluation("noise", "cpu", {"heldout": COMMANDS, "own.jsonl": TEXT}, ["a note"])
    write(evaluation, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.png",
        "errors.tsv",
        "metrics.json",
        "mine.txt",
    ]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {key: metrics[key] for key in ("model", "backend", "edgellm", "notes")} == {
        "model": "noise",
        "backend": "cpu",
        "edgellm": __version__,
        "notes": ["a note"],
    }
    assert metrics["sets"]["heldout"]["confusions"] == [["HassNevermind", "HassStop", 1]]
    assert metrics["sets"]["own.jsonl"]["exact"]["percent"] == 0


def test_every_wrong_line_is_listed(tmp_path):
    write(Evaluation("noise", "cpu", {"heldout": COMMANDS, "own.jsonl": TEXT}, []), tmp_path)
    assert (tmp_path / "errors.tsv").read_text().split("\n") == [
        "set\tline\twrong\tprompt\texpected\tgot",
        "heldout\t2\treply\tstop\tHassNevermind\\tOk\tHassNevermind\\tNo",
        "heldout\t4\tintent\tstop it\tHassNevermind\\t\tHassStop\\t",
        "own.jsonl\t1\ttext\ta\\\\b\tx\\ny\tx\\r\\ny",
        "",
    ]


def test_plain_text_has_no_picture(tmp_path):
    write(Evaluation("noise", "cpu", {"own.jsonl": TEXT}, []), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["errors.tsv", "metrics.json"]


def test_a_failure_leaves_the_old_metrics(tmp_path, monkeypatch):
    from edgellm.evaluation import picture

    (tmp_path / "metrics.json").write_text("old")
    monkeypatch.setattr(picture, "draw", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(Evaluation("noise", "cpu", {"heldout": COMMANDS}, []), tmp_path)
    assert (tmp_path / "metrics.json").read_text() == "old"
