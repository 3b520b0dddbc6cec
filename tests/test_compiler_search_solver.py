"""The solver against brute force, and what it says when nothing fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from foldings import converts, keeps_up
from shapes import HOME, SMALL, TINY

from edgellm.compiler import boards, budget, estimate, search_solver, search_space
from edgellm.compiler.budget import Limits, Objective
from edgellm.compiler.costs import RESOURCES, Cost
from edgellm.compiler.folding import Folding
from edgellm.compiler.search_solver import Task
from edgellm.errors import CompileError
from edgellm.numerics.random import random_model

pytestmark = pytest.mark.fpga

BOARD = boards.load("aup-zu3")
POSITION = budget.reference(TINY)
DESIGN = budget.design_of(random_model(TINY, 3), BOARD, 4)


def task(objective: Objective = Objective.LATENCY, **limits: int) -> Task:
    return Task(DESIGN, {**budget.limits(BOARD), **limits}, objective)


def every(limits: Limits) -> Iterator[tuple[int, int]]:
    """Single and saturated cycles of all foldings within the limits that run at full rate."""
    options = search_space.options(DESIGN)
    for chosen in product(*options.values()):
        f = Folding({node: option.factors for node, option in zip(options, chosen, strict=True)})
        if converts(TINY, f) and keeps_up(TINY, f):
            cost = sum((option.cost for option in chosen), Cost())
            if budget.short(cost, limits) == []:
                yield (
                    estimate.single_stream_cycles(TINY, f, POSITION),
                    estimate.saturated_cycles(DESIGN, f, POSITION),
                )


def test_the_optimum_of_a_small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few enough foldings to try them all."""
    monkeypatch.setattr(search_space, "MAX_LANES", 1)
    monkeypatch.setattr(search_space, "MAX_PE", 2)
    monkeypatch.setattr(search_space, "MAX_SIMD", 2)
    limits = {"dsp": 66}
    all_cycles = list(every(task(**limits).limits))
    fast, full = (search_solver.best(task(objective, **limits)) for objective in Objective)
    assert fast
    assert full
    assert (fast.single, fast.saturated) == min(all_cycles)
    assert (full.saturated, full.single) == min((saturated, single) for single, saturated in all_cycles)
    assert fast.proved
    assert full.proved
    assert len(set(all_cycles)) > 100  # there was something to choose


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("arch", SMALL.values(), ids=SMALL)
def test_found_foldings_fit_and_run_at_full_rate(arch, objective: Objective) -> None:
    wanted = Task(budget.design_of(random_model(arch, 1), BOARD, 2), budget.limits(BOARD), objective)
    found = search_solver.best(wanted)
    assert found
    assert converts(arch, found.folding)
    assert keeps_up(arch, found.folding)
    used = estimate.total(estimate.node_costs(wanted.design, found.folding))
    assert budget.short(used, wanted.limits) == []
    position = budget.reference(arch)
    assert found.single == estimate.single_stream_cycles(arch, found.folding, position)
    assert found.saturated == estimate.saturated_cycles(wanted.design, found.folding, position)


def test_the_same_folding_every_time() -> None:
    assert search_solver.best(task(dsp=150)) == search_solver.best(task(dsp=150))


def test_objectives_differ() -> None:
    design = budget.design_of(random_model(HOME, 1), BOARD, 8)
    tasks = [Task(design, budget.limits(BOARD), objective) for objective in Objective]
    fast, full = map(search_solver.best, tasks)
    assert fast
    assert full
    assert fast.single < full.single
    assert fast.saturated > full.saturated


def test_fewer_cycles_for_more_multipliers() -> None:
    found = search_solver.best(task(dsp=120))
    assert found
    assert search_solver.fewer(task(dsp=120), found.single) is None
    assert search_solver.fewer(task(dsp=120), found.single + 1) == found.single
    then = search_solver.fewer(task(dsp=160), found.single)
    assert then
    more = search_solver.lacking(task(dsp=120), ["dsp"], then)
    assert list(more) == ["dsp"]
    assert search_solver.fewer(task(dsp=120 + more["dsp"]), then + 1) == then
    assert search_solver.fewer(task(dsp=120 + more["dsp"] - 1), then + 1) is None


def test_nothing_fits() -> None:
    small = task(dsp=30, bram18=1)
    assert search_solver.best(small) is None
    assert not search_solver.fits(small)
    more = search_solver.lacking(small, RESOURCES)
    assert set(more) == {"dsp", "bram18"}
    raised = {name: limit + more.get(name, 0) for name, limit in small.limits.items()}
    assert search_solver.fits(replace(small, limits=raised))
    assert search_solver.lacking(replace(small, limits=raised), RESOURCES) == {}
    for name in more:
        assert not search_solver.fits(replace(small, limits={**raised, name: raised[name] - 1}))


def test_a_search_that_contradicts_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "single_stream_cycles", lambda *_: 7)
    with pytest.raises(CompileError, match=r"the search counts \d+ and \d+ cycles, the estimate 7 and "):
        search_solver.best(task())


def test_no_effort_no_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_solver, "EFFORT", 0.0)
    with pytest.raises(CompileError, match=r"ended without one \(UNKNOWN\): give one with --folding"):
        search_solver.best(task())
