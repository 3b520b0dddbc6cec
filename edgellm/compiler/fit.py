"""Whether a model at a given folding fits a board, and if not, what is short and where it would fit."""

from __future__ import annotations

from edgellm.compiler import boards, estimate, search
from edgellm.compiler.boards import Board
from edgellm.compiler.costs import RESOURCES, Cost
from edgellm.compiler.folding import Folding
from edgellm.errors import BoardTooSmall
from edgellm.numerics.model import IntegerModel


def slots_of(model: IntegerModel, name: str, board: Board, folding: Folding) -> int:
    """The most slots with which the accelerator fits. Raises BoardTooSmall."""
    for slots in search.SLOTS:
        if not short(needed(model, board, folding, slots), board):
            return slots
    least = needed(model, board, folding, search.SLOTS[-1])
    lacking = short(least, board)
    needs = " and ".join(f"{getattr(least, r)} {search.NAMES[r]}" for r in lacking)
    has = " and ".join(f"{search.capacity(board)[r]}" for r in lacking)
    raise BoardTooSmall(
        f"{name} needs {needs} at this folding, {board.name} has {has}: {_way_out(model, folding)}"
    )


def needed(model: IntegerModel, board: Board, folding: Folding, slots: int) -> Cost:
    """Estimate of the whole accelerator."""
    return estimate.total(estimate.node_costs(search.design_of(model, board, slots), folding))


def short(cost: Cost, board: Board) -> list[str]:
    """The resources of which a board has too few."""
    have = search.capacity(board)
    return [name for name in RESOURCES if getattr(cost, name) > have[name]]


def _way_out(model: IntegerModel, folding: Folding) -> str:
    known = [boards.load(name) for name in boards.names()]
    fitting = [b.name for b in known if not short(needed(model, b, folding, search.SLOTS[-1]), b)]
    if fitting:
        return f"compile for {' or '.join(fitting)}, or leave out --folding"
    return "no board here holds it; leave out --folding, or take weights of fewer bits or a smaller model"
