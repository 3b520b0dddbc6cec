"""The folding as a constraint model: literals for what is chosen, cycles and resources as sums over them.

Every node takes one of its options, and every link one pair of its neighbours' values, tied to both by exactly-one
constraints: the linear relaxation of such a tree is tight, and what is left to search is how the resources are shared.
Solved by CP-SAT of OR-Tools (https://developers.google.com/optimization/cp).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ortools.sat.python import cp_model
from ortools.sat.python.cp_model import IntVar, LinearExpr

from edgellm.compiler import costs, search_space, timing
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding, matmul_shapes
from edgellm.compiler.search_space import Bound, End, Link, Option

LONGEST = 1 << 24  # cycles; above every sum there is

Value = tuple[int, ...]  # of the factors of an end


def weighted(terms: Sequence[IntVar], weights: Sequence[int]) -> LinearExpr:
    """Sum of weight times term."""
    return LinearExpr.weighted_sum(terms, weights)


def added(terms: Iterable[LinearExpr]) -> LinearExpr:
    """Sum of the terms."""
    return LinearExpr.sum(list(terms))


class FoldingModel:
    """A folding's choices and what follows from them, as expressions of `model`.

    single     cycles of a single stream at the reference position
    saturated  at least the cycles a token with all slots busy there
    used       resource -> how many
    """

    def __init__(self, design: Design, position: int) -> None:
        self.design, self.position = design, position
        self.model = cp_model.CpModel()
        self.options = search_space.options(design)
        self.chosen = {node: self._one_of(node, len(found)) for node, found in self.options.items()}
        self._ends: dict[End, dict[Value, IntVar]] = {}
        self.used = {resource: self._used(resource) for resource in costs.RESOURCES}
        self.loop, self.single = self._cycles()
        self.saturated = self._saturated()

    def _one_of(self, name: str, count: int) -> list[IntVar]:
        literals = [self.model.new_bool_var(f"{name} {i}") for i in range(count)]
        self.model.add_exactly_one(literals)
        return literals

    def sum(self, node: str, value: Callable[[Option], int]) -> LinearExpr:
        """A quantity of one node's own choice."""
        return weighted(self.chosen[node], [value(option) for option in self.options[node]])

    def _used(self, resource: str) -> LinearExpr:
        return added(self.sum(node, lambda o: getattr(o.cost, resource)) for node in self.options)

    def _end(self, end: End) -> dict[Value, IntVar]:
        """Literals for the values that some factors of a node take."""
        if end not in self._ends:
            node, names = end
            members: dict[Value, list[IntVar]] = defaultdict(list)
            for option, literal in zip(self.options[node], self.chosen[node], strict=True):
                members[tuple(option.factors[name] for name in names)].append(literal)
            self._ends[end] = {v: self._any(f"{node} {v}", literals) for v, literals in members.items()}
        return self._ends[end]

    def _any(self, name: str, literals: list[IntVar]) -> IntVar:
        if len(literals) == 1:
            return literals[0]
        result = self.model.new_bool_var(name)
        self.model.add_exactly_one([*literals, result.negated()])
        return result

    def _linked(self, link: Link) -> LinearExpr:
        """Cycles of a link, which may only take the pairs it allows."""
        first, second = self._end(link.first), self._end(link.second)
        at: dict[tuple[int, Value], list[IntVar]] = defaultdict(list)
        pairs, weights = [], []
        for a in first:
            for b in second:
                cycles = link.cycles(*a, *b)
                if cycles is not None:
                    pairs.append(self.model.new_bool_var(f"{link.first[0]} {a} {link.second[0]} {b}"))
                    weights.append(cycles)
                    at[0, a].append(pairs[-1])
                    at[1, b].append(pairs[-1])
        for side, values in enumerate((first, second)):
            for value, literal in values.items():
                self.model.add_exactly_one([*at[side, value], literal.negated()])
        return weighted(pairs, weights)

    def _cycles(self) -> tuple[LinearExpr, LinearExpr]:
        """Of one trip through the block, and of a token."""
        a = self.design.arch
        links = search_space.links(a, self.position, self.design.ternary)
        once = added(self._linked(link) for link in links if not link.repeated)
        loop = (
            added(self._linked(link) for link in links if link.repeated)
            + self._down_late()
            + search_space.constant()
        )
        return loop, once + a.layers * loop

    def _down_late(self) -> IntVar:
        """Cycles that down_acc still reads when its input is there: at least `latency.late`, and no more when minimised."""
        rows, _ = matmul_shapes(self.design.arch)["down_acc"]
        late = self.model.new_int_var(0, LONGEST, "down_acc late")
        self.model.add(late >= self._linked(search_space.gate_link()))
        reads = self.sum("down_acc", lambda o: rows // o.factors["SIMD"])
        self.model.add(late >= reads - self._interval("gate_up_acc"))
        return late

    def _interval(self, node: str) -> LinearExpr:
        shape = matmul_shapes(self.design.arch)[node]
        return self.sum(node, lambda o: timing.matmul_interval(*shape, *o.factors.values()))

    def _bound(self, bound: Bound) -> LinearExpr:
        return self.sum(bound.node, lambda option: bound.interval(*option.factors.values()))

    def _saturated(self) -> IntVar:
        """A variable that is at least what the nodes, the slots and the loop allow."""
        d = self.design
        saturated = self.model.new_int_var(0, LONGEST, "saturated")
        for bound in search_space.bounds(d.arch, self.position):
            self.model.add(saturated >= (d.arch.layers if bound.repeated else 1) * self._bound(bound))
        self.model.add(d.slots * saturated >= self.single)
        self.model.add(d.tokens * saturated >= d.arch.layers * self.loop)
        return saturated

    def folding(self, solver: cp_model.CpSolver) -> Folding:
        """The factors of a solution."""
        nodes = {
            node: option.factors
            for node, found in self.options.items()
            for option, literal in zip(found, self.chosen[node], strict=True)
            if solver.boolean_value(literal)
        }
        return Folding(nodes)
