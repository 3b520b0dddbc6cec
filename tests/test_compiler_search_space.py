"""What the search may choose between."""

from __future__ import annotations

import pytest
from shapes import HOME, SMALL

from edgellm.compiler import boards, budget, estimate, search_space
from edgellm.compiler.folding import Folding
from edgellm.compiler.search_space import Link, divide
from edgellm.numerics.random import random_model

DESIGN = budget.design_of(random_model(HOME, 1), boards.load("aup-zu3"), 4)


def link(first: str, second: str) -> Link:
    return next(k for k in search_space.links(HOME, 64) if (k.first[0], k.second[0]) == (first, second))


def test_options_keep_to_the_fan_out_limits() -> None:
    options = search_space.options(DESIGN)
    most = {
        node: {k: max(o.factors[k] for o in found) for k in found[0].factors}
        for node, found in options.items()
    }
    assert most["qkv_acc"] == {"PE": 64, "SIMD": 32}
    assert most["attention"] == {"PT": 16, "OM": 16}
    assert (most["ffn_norm"], most["gate_up"], most["rope"]) == ({"PE": 16}, {"PE": 64}, {"PE": 16})
    assert len(options["down_acc"]) == len({tuple(o.factors.items()) for o in options["down_acc"]}) == 7 * 10


def test_options_cost_what_the_estimate_says() -> None:
    options = search_space.options(DESIGN)
    nodes = {node: found[-1].factors for node, found in options.items()}
    whole = estimate.total(estimate.node_costs(DESIGN, Folding(nodes)))
    assert sum(found[-1].cost.dsp for found in options.values()) == whole.dsp
    assert sum(found[-1].cost.lut for found in options.values()) == whole.lut


def test_divide() -> None:
    assert divide(3, 12)
    assert divide(12, 3)
    assert not divide(8, 12)


@pytest.mark.parametrize(
    ("first", "second", "factors", "allowed"),
    [
        ("qkv_acc", "qkv", (32, 4, 2), True),  # 32 results in the 16 cycles of the next ones
        ("qkv_acc", "qkv", (32, 8, 2), False),
        ("gate_up_acc", "gate_up", (12, 1, 8), False),  # a converter from 12 to 8 lanes
        ("attn_norm", "qkv_acc", (8, 4), True),
        ("ffn_residual", "attn_norm", (8, 4), False),
        ("attn_residual", "ffn_residual", (4, 8), False),
        ("qkv", "rope", (8, 4), False),
        ("gate_up", "glu", (4, 2), True),
        ("gate_up", "glu", (4, 1), False),
        ("gate_up", "down_acc", (8, 3), False),
        ("attention", "attn_out_acc", (4, 8, 4), False),
        ("logits", "argmax", (4, 2), False),
    ],
)
def test_neighbours(first: str, second: str, factors: tuple[int, ...], allowed: bool) -> None:
    assert (link(first, second).cycles(*factors) is not None) is allowed


@pytest.mark.parametrize("arch", SMALL.values(), ids=SMALL)
def test_bounds_are_those_of_the_estimate(arch) -> None:
    position = arch.context // 2
    f = Folding({n: o[-1].factors for n, o in search_space.options(budget_of(arch)).items()})
    block = estimate.block_intervals(arch, f, position)
    expected = {**block, **estimate.end_intervals(arch, f), "ffn_residual": block["loop"]}
    del expected["loop"]
    bounds = search_space.bounds(arch, position)
    assert {b.node: b.interval(*f.nodes[b.node].values()) for b in bounds} == expected
    assert {b.node for b in bounds if not b.repeated} == {"embed", "final_norm", "head_acc", "argmax"}


def budget_of(arch):
    return budget.design_of(random_model(arch, 1), boards.load("aup-zu3"), 1)
