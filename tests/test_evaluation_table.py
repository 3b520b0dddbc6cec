"""Tables as they look on a terminal."""

import pytest
from evaluation_model import COMMAND, RIGHT, case_set

from edgellm.evaluation import table
from edgellm.evaluation.measure import SetReport
from edgellm.evaluation.scores import Outcome
from edgellm.evaluation.sets import Case

pytestmark = pytest.mark.train  # rich


def shown(renderable) -> str:
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def report(name, outcomes, commands=True):
    return SetReport(case_set(*(o.case for o in outcomes), name=name, commands=commands), tuple(outcomes))


COMMANDS = report(
    "heldout",
    [
        Outcome(COMMAND, True, RIGHT, 10, 0.5),
        Outcome(Case(2, "x [red]", "[red]Odd a= 1"), True, "Odd", 5, 1.0),
    ],
)
TEXT = report("own.jsonl", [Outcome(Case(1, "p", "text"), False, "text", 4, None)], commands=False)


def test_overview():
    text = shown(table.overview({"heldout": COMMANDS, "own": TEXT}, "noise on cpu"))
    assert "noise on cpu" in text
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "held-out expansions 2 0.1000 0.0296 50.0 50.0 100.0 80.0" in rows
    assert "9.5-90.5 9.5-90.5 20.7-100.0 P 100.0 R 66.7" in rows
    assert "own.jsonl 1 - - - 100.0 - -" in rows


def test_per_intent_shows_each_set_beside_the_other():
    other = report("free", [Outcome(Case(1, "c", "Other"), True, "Wrong", 5, 1.0)])
    text = shown(table.by_intent({"heldout": COMMANDS, "own": TEXT, "free": other}))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "expected intent held-out expansions free phrasing" in rows
    assert "HassTurnOn 100 (1) -" in rows
    assert "Other - 0 (1)" in rows


def test_brackets_in_a_users_text_are_no_markup():
    assert "[red]Odd" in shown(table.by_intent({"heldout": COMMANDS}))


def test_plain_text_has_no_intents():
    assert table.by_intent({"own": TEXT}) is None
