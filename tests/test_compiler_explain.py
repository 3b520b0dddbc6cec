"""What is said about a folding."""

from __future__ import annotations

import json
from dataclasses import replace

from shapes import HOME

from edgellm.compiler import boards, budget, estimate, explain
from edgellm.compiler.budget import Objective
from edgellm.compiler.explain import Explanation, Step
from edgellm.compiler.folding import Folding, legal
from edgellm.numerics.random import random_model

BOARD = boards.load("aup-zu3")
DESIGN = budget.design_of(random_model(HOME, 1), BOARD, 8)
FACTORS = Folding(
    {n: {k: max(v for v in vs if v <= 4) for k, vs in f.items()} for n, f in legal(HOME).items()}
)


def told(objective: Objective = Objective.THROUGHPUT) -> Explanation:
    return explain.explain(DESIGN, FACTORS, budget.limits(BOARD), objective, True)


def test_cycles_and_resources() -> None:
    found = told()
    assert (found.position, found.slots, found.proved) == (64, 8, True)
    assert found.single == sum(found.parts.values()) == estimate.single_stream_cycles(HOME, FACTORS, 64)
    assert found.saturated == next(iter(found.bounds.values())) == 64 // 4 * 384 // 4 * 5
    assert list(found.parts.values()) == sorted(found.parts.values(), reverse=True)
    assert found.used["dsp"] == estimate.total(estimate.node_costs(DESIGN, FACTORS)).dsp
    assert (found.cycles(Objective.LATENCY), found.cycles(Objective.THROUGHPUT)) == (
        found.single,
        found.saturated,
    )


def test_json() -> None:
    found = replace(told(), steps=(Step({"dsp": 3}, 100),))
    text = json.loads(json.dumps(found.to_dict()))
    assert text["objective"] == "throughput"
    assert text["steps"] == [{"more": {"dsp": 3}, "cycles": 100}]
    assert text["bounds"]["gate_up_acc"] == found.saturated


def lines(**changes: object) -> list[str]:
    return explain.lines({**told().to_dict(), **changes}, 200)


def test_text() -> None:
    steps = [{"more": {"dsp": 1040, "bram18": 2}, "cycles": 2900}, {"more": {"lut": 5}, "cycles": 7000}]
    first, rates, where, limits = lines(single=10000, saturated=4000, steps=steps)
    assert first == (
        "the best folding for throughput, at position 64 (derived): 10,000 cycles a token of one stream, "
        "one token of 8 busy slots every 4,000"
    )
    assert rates == "20,000 and 50,000 tokens/s (projected, 200 MHz assumed)"
    assert where.startswith("one stream: gate_up_acc 7,")
    assert where.endswith("; busy slots: bound by gate_up_acc")
    assert "DSP, " in limits
    assert "URAM" not in limits  # the board has none
    assert limits.endswith(
        "; with 1,040 more DSP and 2 more BRAM18: 2,900 cycles, with 5 more LUT: 7,000 cycles"
    )


def test_text_of_what_bounds() -> None:
    assert lines(bounds={"slots": 9, "head_acc": 9, "loop": 3})[2].endswith(
        "bound by the slots, each waiting for its own last token and head_acc"
    )
    assert lines(bounds={"tokens in flight": 9})[2].endswith("bound by the 8 tokens in flight")


def test_text_of_how_it_was_found() -> None:
    assert lines(proved=None)[0].startswith("folding as given, at position 64")
    assert lines(proved=False)[0].startswith("the best folding found for throughput, at")
    assert "with" not in lines()[3]
