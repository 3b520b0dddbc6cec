"""The search for a folding: the goals of the shipped model, slots, what more would buy, boards that are too small."""

from __future__ import annotations

from dataclasses import replace

import pytest
from foldings import converts, keeps_up
from shapes import HOME, TINY

from edgellm import catalog
from edgellm.compiler import boards, budget, estimate, search
from edgellm.compiler.budget import Goal, Objective
from edgellm.compiler.compile import MODEL
from edgellm.compiler.folding import validate
from edgellm.errors import BoardTooSmall
from edgellm.numerics import onnxfile
from edgellm.numerics.random import random_model

pytestmark = pytest.mark.fpga

AUP = boards.load("aup-zu3")


@pytest.mark.parametrize(("board", "single", "saturated"), [("aup-zu3", 3500, 500), ("kv260", 2000, 220)])
def test_home_260k_is_as_fast_as_promised(
    board: str, single: int, saturated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STEPS", ())
    model = onnxfile.load(catalog.find("home-260k") / MODEL)
    folding, told = search.search(model, boards.load(board), Goal())
    validate(folding, model.arch)
    assert (told.position, told.slots, told.proved) == (64, 8, True)
    assert told.single <= single
    assert told.saturated <= saturated


@pytest.mark.parametrize("board", boards.names())
def test_every_board_runs_at_full_rate(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "STEPS", ())
    model, target = random_model(TINY, 1), boards.load(board)
    folding, told = search.search(model, target, Goal(slots=2))
    assert converts(TINY, folding)
    assert keeps_up(TINY, folding)
    used = estimate.total(estimate.node_costs(budget.design_of(model, target, told.slots), folding))
    assert budget.short(used, budget.limits(target)) == []


def test_linear_layers_are_balanced() -> None:
    _, told = search.search(random_model(HOME, 1), AUP, Goal())
    layers = [told.bounds[node] for node in ("qkv_acc", "attn_out_acc", "gate_up_acc", "down_acc")]
    assert max(layers) < 2 * min(layers)
    assert max(layers) == told.saturated


def test_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "STEPS", ())
    model = random_model(TINY, 1)
    memory = {"bram18": 40}
    _, told = search.search(model, replace(AUP, **memory), Goal(slots=3))
    assert told.slots == 3
    deep = random_model(replace(TINY, context=512), 1)
    _, told = search.search(deep, replace(AUP, **memory), Goal())
    assert 1 <= told.slots < 8
    with pytest.raises(BoardTooSmall):
        search.search(deep, replace(AUP, **memory), Goal(slots=told.slots + 1))


def test_steps_say_what_more_would_buy() -> None:
    model, board = random_model(TINY, 1), replace(AUP, dsps=150)
    _, told = search.search(model, board, Goal(Objective.LATENCY))
    (step,) = (step for step in told.steps if "dsp" in step.more)
    assert step.cycles < told.single
    enough = replace(board, dsps=round((told.limits["dsp"] + step.more["dsp"]) / budget.SHARE["dsp"] + 1))
    _, then = search.search(model, enough, Goal(Objective.LATENCY))
    assert then.single <= step.cycles


def test_steps_of_two_resources_where_one_alone_buys_nothing() -> None:
    _, told = search.search(random_model(HOME, 1), AUP, Goal())
    assert [sorted(step.more) for step in told.steps] == [["bram18", "dsp"]]


def test_board_too_small() -> None:
    board = replace(AUP, name="toy", bram18=320)
    with pytest.raises(BoardTooSmall) as error:
        search.search(random_model(HOME, 1), board, Goal(slots=8))
    lacks, _, ways = str(error.value).partition("; ")
    assert lacks.startswith("toy cannot hold the model with 8 slots: it lacks ")
    assert lacks.endswith(" BRAM18, the model may use 304 of 320")
    assert ways == (
        "5 slots would fit (--slots 5), aup-zu3 or kv260 or rfsoc4x2 or zcu104 would hold it, a context of 128 would fit"
    )


def test_no_board_at_all() -> None:
    model = random_model(replace(HOME, vocab=8192, ffn=8192, layers=12, context=8), 1)
    with pytest.raises(
        BoardTooSmall, match=r"lacks .* and it lacks .*; no board here holds it: take weights of"
    ):
        search.search(model, boards.load("ulx3s-85f"), Goal())
