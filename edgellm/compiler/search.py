"""The folding search: for a model, a board and a goal, the folding of fewest cycles within a share of the board."""

from __future__ import annotations

from dataclasses import replace

from edgellm.compiler import budget, search_solver
from edgellm.compiler.boards import Board
from edgellm.compiler.budget import SLOTS, Goal
from edgellm.compiler.explain import Explanation, Step, explain
from edgellm.compiler.folding import Folding
from edgellm.compiler.search_solver import Task
from edgellm.compiler.too_small import task_of, too_small
from edgellm.errors import BoardTooSmall
from edgellm.numerics.model import IntegerModel

NEAR = 0.75  # of a limit; a resource used less is not what is short
# Of the board: what more of a resource buys is asked for a little, and for more where that buys nothing.
STEPS = (0.1, 0.3)


def search(model: IntegerModel, board: Board, goal: Goal) -> tuple[Folding, Explanation]:
    """The best folding, and what makes it so; the explanation has the slots it serves.

    Without slots in the goal they are the most of SLOTS with which there is a folding. Raises BoardTooSmall.
    """
    choices = SLOTS if goal.slots is None else (goal.slots,)
    for slots in choices:
        task = task_of(model, board, goal, slots)
        found = search_solver.best(task)
        if found is not None:
            told = explain(task.design, found.folding, task.limits, goal.objective, found.proved)
            return found.folding, replace(told, steps=_steps(task, told))
    raise BoardTooSmall(too_small(model, board, goal, choices[-1]))


def _steps(task: Task, found: Explanation) -> tuple[Step, ...]:
    """What more of each scarce resource would buy; if none alone buys anything, what more of all of them would."""
    scarce = [name for name, limit in task.limits.items() if limit and found.used[name] >= NEAR * limit]
    now = found.cycles(task.objective)
    for share in STEPS:
        alone = [step for name in scarce for step in _step(task, [name], share, now)]
        if steps := alone or _step(task, scarce, share, now):
            return tuple(steps)
    return ()


def _step(task: Task, names: list[str], share: float, now: int) -> list[Step]:
    """One step or none."""
    more = {name: int(task.limits[name] / budget.SHARE[name] * share) for name in names}
    raised = {name: limit + more.get(name, 0) for name, limit in task.limits.items()}
    then = search_solver.fewer(replace(task, limits=raised), now)
    return [] if then is None else [Step(search_solver.lacking(task, names, then), then)]
