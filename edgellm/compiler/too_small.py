"""A board that is too small: by how much, and what would fit."""

from __future__ import annotations

from dataclasses import replace

from edgellm.compiler import boards, budget, search_solver
from edgellm.compiler.boards import Board
from edgellm.compiler.budget import SLOTS, Goal
from edgellm.compiler.costs import RESOURCES
from edgellm.compiler.search_solver import Task
from edgellm.numerics.model import IntegerModel


def task_of(model: IntegerModel, board: Board, goal: Goal, slots: int) -> Task:
    """The search for a number of slots."""
    return Task(budget.design_of(model, board, slots), budget.limits(board), goal.objective)


def too_small(model: IntegerModel, board: Board, goal: Goal, slots: int) -> str:
    """What is short at least with so many slots; which slots, boards or context would do."""
    task = task_of(model, board, goal, slots)
    others = [boards.load(name) for name in boards.names() if name != board.name]
    larger = [other.name for other in others if search_solver.fits(task_of(model, other, goal, slots))]
    ways = [
        *_fewer_slots(model, board, goal, slots),
        *([f"{' or '.join(larger)} would hold it"] if larger else []),
        *_shorter(task),
    ]
    advice = ", ".join(ways) or "no board here holds it: take weights of fewer bits or a smaller model"
    plural = "s" * (slots > 1)
    return f"{board.name} cannot hold the model with {slots} slot{plural}: {_short(task, board)}; {advice}"


def _short(task: Task, board: Board) -> str:
    have, lacking = budget.capacity(board), search_solver.lacking(task, RESOURCES)
    return " and ".join(
        f"it lacks {count} {budget.NAMES[name]}, the model may use {task.limits[name]} of {have[name]}"
        for name, count in lacking.items()
    )


def _fewer_slots(model: IntegerModel, board: Board, goal: Goal, slots: int) -> list[str]:
    fewer = (count for count in SLOTS if count < slots)
    fitting = next((count for count in fewer if search_solver.fits(task_of(model, board, goal, count))), None)
    return [f"{fitting} slot{'s' * (fitting > 1)} would fit (--slots {fitting})"] if fitting else []


def _shorter(task: Task) -> list[str]:
    """The largest half, quarter and so on of the context that fits."""
    arch, context = task.design.arch, task.design.arch.context // 2
    while context:
        design = replace(task.design, arch=replace(arch, context=context))
        if search_solver.fits(replace(task, design=design)):
            return [f"a context of {context} would fit"]
        context //= 2
    return []
