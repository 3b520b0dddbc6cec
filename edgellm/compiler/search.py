"""The folding search: for a model, a board and a goal, the folding of fewest cycles within a share of the board."""

from __future__ import annotations

from dataclasses import replace

from edgellm.compiler import boards, budget, search_solver
from edgellm.compiler.boards import Board
from edgellm.compiler.budget import SLOTS, Goal
from edgellm.compiler.costs import RESOURCES
from edgellm.compiler.explain import Explanation, Step, explain
from edgellm.compiler.folding import Folding
from edgellm.compiler.search_solver import Task
from edgellm.errors import BoardTooSmall
from edgellm.numerics.model import IntegerModel

NEAR = 0.75  # of a limit; a resource used less is not what is short
STEPS = (
    0.1,
    0.3,
)  # of the board: what the next resource buys is asked for so much more, the second when the first buys nothing


def search(model: IntegerModel, board: Board, goal: Goal) -> tuple[Folding, Explanation]:
    """The best folding, and what makes it so; the explanation has the slots it serves.

    Without slots in the goal they are the most of SLOTS with which there is a folding. Raises BoardTooSmall.
    """
    choices = SLOTS if goal.slots is None else (goal.slots,)
    for slots in choices:
        task = _task(model, board, goal, slots)
        found = search_solver.best(task)
        if found is not None:
            told = explain(task.design, found.folding, task.limits, goal.objective, found.proved)
            return found.folding, replace(told, steps=_steps(task, told))
    raise BoardTooSmall(_too_small(model, board, goal, choices[-1]))


def _task(model: IntegerModel, board: Board, goal: Goal, slots: int) -> Task:
    return Task(budget.design_of(model, board, slots), budget.limits(board), goal.objective)


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


def _too_small(model: IntegerModel, board: Board, goal: Goal, slots: int) -> str:
    """What is short at least, and what would fit."""
    task = _task(model, board, goal, slots)
    have = budget.capacity(board)
    lacking = search_solver.lacking(task, RESOURCES)
    short = " and ".join(
        f"{lacking[name]} {budget.NAMES[name]} more than the {task.limits[name]} of {have[name]} it can give"
        for name in RESOURCES
        if name in lacking
    )
    ways = [*_fewer_slots(model, board, goal, slots), *_larger(model, board, goal, slots)]
    ways += _shorter(task)
    advice = (
        ", or ".join(ways)
        if ways
        else "no board here holds it: take weights of fewer bits or a smaller model"
    )
    return f"the model with {slots} slot{'s' * (slots > 1)} does not fit {board.name}: it needs at least {short}; {advice}"


def _fewer_slots(model: IntegerModel, board: Board, goal: Goal, slots: int) -> list[str]:
    fewer = (count for count in SLOTS if count < slots)
    fitting = next((count for count in fewer if search_solver.fits(_task(model, board, goal, count))), None)
    return [f"{fitting} slot{'s fit' if fitting > 1 else ' fits'}"] if fitting else []


def _larger(model: IntegerModel, board: Board, goal: Goal, slots: int) -> list[str]:
    others = [boards.load(name) for name in boards.names() if name != board.name]
    names = [other.name for other in others if search_solver.fits(_task(model, other, goal, slots))]
    return [f"{', '.join(names)} hold{'s' * (len(names) == 1)} it"] if names else []


def _shorter(task: Task) -> list[str]:
    """The largest half, quarter and so on of the context that fits."""
    arch, context = task.design.arch, task.design.arch.context // 2
    while context:
        design = replace(task.design, arch=replace(arch, context=context))
        if search_solver.fits(replace(task, design=design)):
            return [f"a context of {context} fits"]
        context //= 2
    return []
