"""Parts of a token's cycles."""

from __future__ import annotations

import pytest
from shapes import HOME, SMALL

from edgellm.compiler import estimate, latency
from edgellm.compiler.budget import TOKENS
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding, legal
from edgellm.numerics.random import random_model


def widest(arch, most: int = 8) -> Folding:
    return Folding(
        {n: {k: max(v for v in vs if v <= most) for k, vs in f.items()} for n, f in legal(arch).items()}
    )


@pytest.mark.parametrize(
    ("lanes", "rows", "simd", "span", "cycles"),
    [
        (4, 64, 4, 16, 0),  # as fast as it comes
        (8, 64, 4, 16, 1),  # the last beat takes two reads
        (4, 64, 2, 16, 16),  # half as fast
        (4, 64, 2, 40, 1),  # half as fast, but it came slowly
    ],
)
def test_late(lanes: int, rows: int, simd: int, span: int, cycles: int) -> None:
    assert latency.late(lanes, rows, simd, span) == cycles


def test_drain_rounds_up() -> None:
    assert [latency.drain(pe, 4) for pe in (1, 4, 5, 8)] == [1, 1, 2, 2]


@pytest.mark.parametrize("arch", SMALL.values(), ids=SMALL)
def test_parts_of_the_block_count_once_a_layer(arch) -> None:
    f, position = widest(arch), arch.context // 2
    parts = latency.token_parts(arch, f, position)
    block = parts["loop"] + sum(
        parts[n] for n in ("attn_norm", "qkv_acc", "rope", "attention", "attn_out_acc")
    )
    block += sum(parts[n] for n in ("ffn_norm", "gate_up_acc", "glu", "down_acc"))
    assert block == arch.layers * estimate.loop_pass(arch, f, position)
    ends = estimate.head_latency(arch, f) + latency.entry(arch, f("embed"))
    assert sum(parts.values()) == block + ends == estimate.single_stream_cycles(arch, f, position)


@pytest.mark.parametrize(("slots", "tokens", "bound"), [(1, 8, "slots"), (16, 1, "tokens in flight")])
def test_streams_wait_for_their_own_tokens(slots: int, tokens: int, bound: str) -> None:
    f, widths = widest(HOME), estimate.widths(random_model(HOME, 1))
    design = Design(HOME, widths, "DSP48E2", slots, tokens)
    bounds = estimate.saturated_bounds(design, f, 64)
    assert estimate.saturated_cycles(design, f, 64) == bounds[bound] == max(bounds.values())
    exact = {
        "slots": estimate.single_stream_cycles(HOME, f, 64),
        "tokens in flight": HOME.layers * estimate.loop_pass(HOME, f, 64),
    }
    assert bounds[bound] == exact[bound]
    many = Design(HOME, widths, "DSP48E2", 1000, 1000)
    assert estimate.saturated_cycles(many, f, 64) == HOME.layers * estimate.block_interval(HOME, f, 64)


def test_a_slow_head_bounds_all_slots() -> None:
    nodes = {**widest(HOME).nodes, "head_acc": {"PE": 1, "SIMD": 2}}
    design = Design(HOME, estimate.widths(random_model(HOME, 1)), "DSP48E2", 8, TOKENS)
    assert estimate.saturated_cycles(design, Folding(nodes), 0) == 64 // 2 * 512


def test_ternary_units_are_two_cycles_faster_each() -> None:
    """hw/rtl/ternary_mvu.sv says so; layers of the block count once a layer."""
    f, names = widest(HOME), frozenset({"qkv_acc", "attn_out_acc", "gate_up_acc", "down_acc"})
    plain = estimate.single_stream_cycles(HOME, f, 64)
    assert plain - estimate.single_stream_cycles(HOME, f, 64, names) == 2 * len(names) * HOME.layers
    assert plain - estimate.single_stream_cycles(HOME, f, 64, frozenset({"head_acc"})) == 2
    ternary = estimate.widths(random_model(HOME, 1, weight_bits=2))
    assert Design(HOME, ternary, "DSP48E2", 8, TOKENS).ternary == {*names, "head_acc"}
