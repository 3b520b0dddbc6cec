"""A folding against a board."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shapes import HOME, TINY

from edgellm.compiler import boards, fit, folding
from edgellm.compiler.folding import Folding
from edgellm.errors import BoardTooSmall
from edgellm.numerics.random import random_model

MODEL = random_model(TINY, 1)
BOARD = boards.load("aup-zu3")


def widest(most: int) -> Folding:
    table = folding.legal(TINY)
    return Folding({n: {k: max(v for v in vs if v <= most) for k, vs in f.items()} for n, f in table.items()})


def test_slots_shrink_with_the_board() -> None:
    factors = widest(1 + 1)
    assert fit.slots_of(MODEL, "toy", BOARD, factors) == 8
    costs = [fit.needed(MODEL, BOARD, factors, slots) for slots in (8, 3, 1)]
    assert costs[0].lut > costs[1].lut > costs[2].lut
    assert fit.slots_of(MODEL, "toy", replace(BOARD, lut=costs[1].lut), factors) == 3
    assert fit.slots_of(MODEL, "toy", replace(BOARD, lut=costs[2].lut), factors) == 1


def test_asked_slots_are_kept() -> None:
    factors = widest(1 + 1)
    assert fit.slots_of(MODEL, "toy", BOARD, factors, (2,)) == 2
    tight = replace(BOARD, lut=fit.needed(MODEL, BOARD, factors, 1).lut)
    with pytest.raises(
        BoardTooSmall, match=r"LUT at this folding and 2 slots, aup-zu3 has .*, take fewer slots, or"
    ):
        fit.slots_of(MODEL, "toy", tight, factors, (2,))


def test_too_small_says_what_is_short_and_what_fits() -> None:
    factors = widest(16)
    need = fit.needed(MODEL, BOARD, factors, 1)
    assert need.dsp > BOARD.dsps
    with pytest.raises(BoardTooSmall) as error:
        fit.slots_of(MODEL, "toy", BOARD, factors)
    assert str(error.value) == (
        f"toy needs {need.lut} LUT and {need.dsp} DSP at this folding, aup-zu3 has 70560 and 360: "
        "compile for kv260 or rfsoc4x2 or zcu104, or leave out --folding"
    )


def test_nothing_fits() -> None:
    model = random_model(replace(HOME, vocab=4096, ffn=4096, layers=8), 1)
    table = folding.legal(model.arch)
    factors = Folding({n: {k: vs[-1] for k, vs in f.items()} for n, f in table.items()})
    with pytest.raises(BoardTooSmall, match="no board here holds it"):
        fit.slots_of(model, "toy", BOARD, factors)
