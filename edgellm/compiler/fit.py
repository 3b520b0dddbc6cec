"""Whether a model at a given folding fits a board, and if not, what is short and where it would fit."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.compiler import boards, budget, estimate
from edgellm.compiler.boards import Board
from edgellm.compiler.costs import Cost
from edgellm.compiler.folding import Folding
from edgellm.errors import BoardTooSmall
from edgellm.numerics.model import IntegerModel


def slots_of(
    model: IntegerModel, name: str, board: Board, folding: Folding, choices: Sequence[int] = budget.SLOTS
) -> int:
    """The first of the choices of slots with which the accelerator fits. Raises BoardTooSmall."""
    for slots in choices:
        if not short(needed(model, board, folding, slots), board):
            return slots
    least = needed(model, board, folding, choices[-1])
    lacking = short(least, board)
    needs = " and ".join(f"{getattr(least, r)} {budget.NAMES[r]}" for r in lacking)
    has = " and ".join(f"{budget.capacity(board)[r]}" for r in lacking)
    fewest = choices[-1]
    held = f" and {fewest} slots" if fewest > 1 else ""
    raise BoardTooSmall(
        f"{name} needs {needs} at this folding{held}, {board.name} has {has}: {_way_out(model, folding, fewest)}"
    )


def needed(model: IntegerModel, board: Board, folding: Folding, slots: int) -> Cost:
    """Estimate of the whole accelerator."""
    return estimate.total(estimate.node_costs(budget.design_of(model, board, slots), folding))


def short(cost: Cost, board: Board) -> list[str]:
    """The resources of which a board has too few."""
    return budget.short(cost, budget.capacity(board))


def _way_out(model: IntegerModel, folding: Folding, slots: int) -> str:
    known = [boards.load(name) for name in boards.names()]
    fitting = [b.name for b in known if not short(needed(model, b, folding, slots), b)]
    fewer = ", take fewer slots" if slots > 1 else ""
    if fitting:
        return f"compile for {' or '.join(fitting)}{fewer}, or leave out --folding"
    return "no board here holds it; leave out --folding, or take weights of fewer bits or a smaller model"
