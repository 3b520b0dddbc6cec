"""Solving the folding model: the best folding within limits, and the least that is lacking where there is none.

One worker, a fixed seed and limits in deterministic time: the same model gives the same folding on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ortools.sat.python import cp_model
from ortools.sat.python.cp_model import LinearExpr

from edgellm.compiler import estimate
from edgellm.compiler.budget import Limits, Objective, reference
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding
from edgellm.compiler.search_model import FoldingModel, added
from edgellm.errors import CompileError

EFFORT = (
    30.0  # of one minimisation, in CP-SAT's deterministic seconds; what is left then counts as not proved
)
PARTS = 1_000_000  # of a board's resource, so that shares of different resources add up as integers


@dataclass(frozen=True, slots=True)
class Task:
    """A folding wanted: for a design, within limits, compared at the design's reference position."""

    design: Design
    limits: Limits
    objective: Objective

    def model(self) -> FoldingModel:
        """The choices, not yet limited."""
        return FoldingModel(self.design, reference(self.design.arch))


@dataclass(frozen=True, slots=True)
class Found:
    """A folding and its estimates; `proved`: no folding within the limits has fewer cycles."""

    folding: Folding
    single: int
    saturated: int
    proved: bool


def best(task: Task) -> Found | None:
    """The folding of fewest cycles, then of fewest resources; None when none is within the limits."""
    model = _limited(task)
    solver, proved = None, True
    for goal in _goals(task, model):
        solver = _minimise(model, goal)
        if solver is None:
            return None
        proved = proved and solver.best_objective_bound == solver.objective_value
        model.model.add(goal <= round(solver.objective_value))
        _start_from(model, solver)
    return _checked(task, model, solver, proved) if solver else None


def fewer(task: Task, than: int) -> int | None:
    """Cycles of the best folding by the task's objective alone, if they are fewer than `than`."""
    model = _limited(task)
    goal = _goals(task, model)[0]
    model.model.add(goal < than)
    solver = _minimise(model, goal)
    return None if solver is None else round(solver.objective_value)


def fits(task: Task) -> bool:
    """Whether any folding is within the limits."""
    return _minimise(_limited(task), 0) is not None


def lacking(task: Task, names: Sequence[str], cycles: int | None = None) -> Limits:
    """The least that is needed of some resources beyond their limits, each weighed by its limit.

    For any folding, or for one that takes at most so many cycles by the objective; empty when the limits are enough.
    """
    model = task.model()
    more = {name: model.model.new_int_var(0, PARTS, name) for name in names}
    for name, limit in task.limits.items():
        model.model.add(model.used[name] <= limit + more.get(name, 0))
    if cycles is not None:
        model.model.add(_goals(task, model)[0] <= cycles)
    solver = _minimise(model, _shares(task.limits, more))
    if solver is None:
        raise CompileError(
            f"no folding with more {', '.join(names)}: the model's dimensions have no small divisors"
        )
    return {name: solver.value(count) for name, count in more.items() if solver.value(count)}


def _limited(task: Task) -> FoldingModel:
    """The model within the limits."""
    model = task.model()
    for name, limit in task.limits.items():
        model.model.add(model.used[name] <= limit)
    return model


def _goals(task: Task, model: FoldingModel) -> list[LinearExpr]:
    """What is minimised, one after the other."""
    cycles = [model.single, model.saturated]
    if task.objective is Objective.THROUGHPUT:
        cycles.reverse()
    return [*cycles, _shares(task.limits, model.used)]


def _shares(limits: Limits, used: Mapping[str, LinearExpr]) -> LinearExpr:
    """Sum of the shares of the limits, in parts of PARTS."""
    return added(max(1, PARTS // max(1, limits[name])) * count for name, count in used.items())


def _minimise(model: FoldingModel, goal: LinearExpr | int) -> cp_model.CpSolver | None:
    """None when there is no solution. Raises CompileError when none was found with EFFORT."""
    model.model.minimize(goal)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = EFFORT
    # the whole relaxation from the start, no probing: measured to be 5 to 50 times faster here than the defaults
    solver.parameters.linearization_level = 2
    solver.parameters.add_lp_constraints_lazily = False
    solver.parameters.cp_model_probing_level = 0
    status = solver.status_name(solver.solve(model.model))
    if status == "INFEASIBLE":
        return None
    if status not in ("OPTIMAL", "FEASIBLE"):
        raise CompileError(f"the search for a folding ended without one ({status}): give one with --folding")
    return solver


def _start_from(model: FoldingModel, solver: cp_model.CpSolver) -> None:
    """The next minimisation begins with this solution."""
    model.model.clear_hints()  # type: ignore[no-untyped-call]
    for literals in model.chosen.values():
        for literal in literals:
            model.model.add_hint(literal, solver.value(literal))


def _checked(task: Task, model: FoldingModel, solver: cp_model.CpSolver, proved: bool) -> Found:
    """The folding with its estimates, which must be what the solver has minimised."""
    folding, design = model.folding(solver), task.design
    single = estimate.single_stream_cycles(design.arch, folding, model.position, design.ternary)
    saturated = estimate.saturated_cycles(design, folding, model.position)
    solved = solver.value(model.single), solver.value(model.saturated)
    if proved and solved != (single, saturated):
        raise CompileError(
            f"the search counts {solved[0]} and {solved[1]} cycles, the estimate {single} and {saturated}: "
            "the two contradict each other, please report it"
        )
    return Found(folding, single, saturated, proved)
