"""Goals and what a board gives."""

from __future__ import annotations

import re

import pytest
from shapes import HOME

from edgellm.compiler import boards, budget
from edgellm.compiler.budget import Goal, Objective
from edgellm.errors import UsageError


def test_limits_are_shares_of_the_board() -> None:
    board = boards.load("kv260")
    have, limits = budget.capacity(board), budget.limits(board)
    assert have == {"lut": 117120, "ff": 234240, "dsp": 1248, "bram18": 288, "uram": 64}
    assert limits == {"lut": 93696, "ff": 187392, "dsp": 1185, "bram18": 273, "uram": 60}


def test_reference_is_a_quarter_of_the_context() -> None:
    assert budget.reference(HOME) == 64


def test_default_goal() -> None:
    assert Goal() == Goal(Objective.THROUGHPUT, None, None)
    assert Goal(Objective("latency"), 1, 1) == Goal(Objective.LATENCY, 1, 1)
    Goal(slots=16, clock_mhz=1000)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slots": 0}, "slots is 0: an accelerator has 1 to 16 slots"),
        ({"slots": 17}, "slots is 17: an accelerator has 1 to 16 slots"),
        ({"clock_mhz": 0}, "clock is 0 MHz: must be 1 to 1000"),
        ({"clock_mhz": 1001}, "clock is 1001 MHz: must be 1 to 1000"),
    ],
)
def test_impossible_goal(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        Goal(**wrong)
