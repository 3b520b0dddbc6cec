"""Folding factors: files, legal values, messages; and the search for the default."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from shapes import HOME, TINY

from edgellm.compiler import boards, estimate, search
from edgellm.compiler.costs import RESOURCES, Cost
from edgellm.compiler.folding import Folding, divisors, legal, matmul_shapes, validate
from edgellm.errors import BoardTooSmall, ConfigError, FoldingError
from edgellm.numerics.random import random_model

MODEL = random_model(HOME, 1)
AUP = boards.load("aup-zu3")


def plain(arch=HOME) -> Folding:
    """One lane everywhere."""
    return Folding(
        {node: {name: values[0] for name, values in factors.items()} for node, factors in legal(arch).items()}
    )


def changed(node: str, factor: str, value: int) -> Folding:
    nodes = {name: dict(factors) for name, factors in plain().nodes.items()}
    nodes[node][factor] = value
    return Folding(nodes)


def test_divisors() -> None:
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
    assert divisors(1) == [1]


def test_every_legal_value_is_accepted() -> None:
    for node, factors in legal(HOME).items():
        for factor, values in factors.items():
            for value in values:
                validate(changed(node, factor, value), HOME)


@pytest.mark.parametrize(
    ("node", "factor", "value", "message"),
    [
        (
            "qkv_acc",
            "SIMD",
            7,
            "qkv_acc: SIMD 7 does not fold its dimension 64: nearest legal values are 4 and 8",
        ),
        (
            "down_acc",
            "SIMD",
            193,
            "down_acc: SIMD 193 does not fold its dimension 192: nearest legal values are 192",
        ),
        ("rope", "PE", 1, "rope: PE 1 does not fold its dimension 16: nearest legal values are 2"),
        (
            "attention",
            "PT",
            3,
            "attention: PT 3 is no power of two within the context: nearest legal values are 2 and 4",
        ),
        (
            "attention",
            "OM",
            32,
            "attention: OM 32 does not fold its dimension 16: nearest legal values are 16",
        ),
    ],
)
def test_illegal_factor(node: str, factor: str, value: int, message: str) -> None:
    with pytest.raises(FoldingError) as error:
        validate(changed(node, factor, value), HOME)
    assert str(error.value) == message


def test_missing_and_unknown_names() -> None:
    nodes = dict(plain().nodes)
    del nodes["glu"]
    with pytest.raises(FoldingError, match="glu: factor PE is missing; legal values are 1, 2, 3"):
        validate(Folding(nodes), HOME)
    with pytest.raises(FoldingError, match="no node 'conv' to fold: nodes are argmax, attention"):
        validate(Folding({**plain().nodes, "conv": {"PE": 1}}), HOME)
    with pytest.raises(FoldingError, match="glu has no factor 'SIMD': it has PE"):
        validate(Folding({**plain().nodes, "glu": {"PE": 1, "SIMD": 1}}), HOME)


def test_file_and_back(tmp_path: Path) -> None:
    folding = plain()
    folding.save(tmp_path / "f.json")
    assert Folding.load(tmp_path / "f.json").nodes == folding.nodes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "a folding file is a JSON object with format 1"),
        ('{"format": 2, "nodes": {}}', "a folding file is a JSON object with format 1"),
        ('{"format": 1, "nodes": {"glu": 3}}', "nodes must map node names to their factors"),
        (
            '{"format": 1, "nodes": {"glu": {"PE": true}}}',
            r"glu\.PE is True, must be a whole number of at least 1",
        ),
        ('{"format": 1, "nodes": {"glu": {"PE": 0}}}', r"glu\.PE is 0, must be a whole number of at least 1"),
    ],
)
def test_damaged_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Folding.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a readable JSON file"):
        Folding.load(tmp_path / "none.json")


@pytest.fixture(scope="module")
def default() -> tuple[Folding, int]:
    return search.default_folding(MODEL, AUP)


def test_default_folding_is_fast_and_leaves_room(default: tuple[Folding, int]) -> None:
    folding, slots = default
    validate(folding, HOME)
    assert slots == 4
    design = search.design_of(MODEL, AUP, slots)
    used = estimate.total(estimate.node_costs(design, folding))
    have = search.capacity(AUP)
    assert all(getattr(used, name) <= have[name] * search.SHARE[name] for name in RESOURCES)
    assert 2500 <= estimate.single_stream_cycles(HOME, folding, 0) <= 4500


def test_linear_layers_are_balanced(default: tuple[Folding, int]) -> None:
    folding, _ = default
    folds = {
        node: (rows // folding(node, "SIMD")) * (cols // folding(node))
        for node, (rows, cols) in matmul_shapes(HOME).items()
        if node != "head_acc"
    }
    assert max(folds.values()) < 2 * min(folds.values())


def test_search_finds_the_optimum_of_a_small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against brute force over everything the search considers."""
    model = random_model(TINY, 3)
    board = replace(AUP, dsps=150)
    design = search.design_of(model, board, 4)
    limits = {name: int(have * search.SHARE[name]) for name, have in search.capacity(board).items()}
    position = TINY.context // search.REFERENCE
    best = None
    monkeypatch.setattr(search, "MAX_LANES", 4)
    spaces = (
        search._blocks(design),
        list(search._residuals(design)),
        list(search._attentions(design)),
        search._heads(design),
    )
    for parts in product(*spaces):
        cost = sum((c for _, c in parts), Cost())
        if all(getattr(cost, name) <= limit for name, limit in limits.items()):
            nodes = {node: factors for part, _ in parts for node, factors in part.items()}
            meetings = [*search._meetings(nodes), (nodes["final_norm"]["PE"], nodes["head_acc"]["SIMD"])]
            if not all(search._divide(a, b) for a, b in meetings):
                continue
            cycles = estimate.single_stream_cycles(TINY, Folding(nodes), position)
            best = cycles if best is None else min(best, cycles)
    found, _ = search.default_folding(model, board, 4)
    assert estimate.single_stream_cycles(TINY, found, position) == best


def test_fewer_slots_where_memory_is_short() -> None:
    _, slots = search.default_folding(MODEL, boards.load("pynq-z2"))
    assert slots == 2


def test_board_too_small() -> None:
    board = replace(AUP, name="toy", bram18=40)
    with pytest.raises(BoardTooSmall) as error:
        search.default_folding(MODEL, board, slots=1)
    message = str(error.value)
    assert message.startswith("with 1 slots the model needs at least ")
    assert "BRAM18; toy has 28 of 40 to give: choose a larger board, fewer slots" in message


def test_asked_slots_are_kept() -> None:
    with pytest.raises(BoardTooSmall, match="with 64 slots"):
        search.default_folding(MODEL, AUP, slots=64)


@pytest.mark.parametrize("board", boards.names())
def test_converters_of_the_default_run_at_full_rate(board: str) -> None:
    f, _ = search.default_folding(MODEL, boards.load(board))
    streams = [
        (f("attn_norm"), f("qkv_acc", "SIMD")), (f("qkv_acc"), f("qkv")), (f("qkv"), f("rope")), (f("rope"), HOME.head_dim),
        (HOME.head_dim, f("attn_out_acc", "SIMD")), (f("attn_out_acc"), f("attn_residual")),
        (f("attn_residual"), f("ffn_norm")), (f("ffn_norm"), f("gate_up_acc", "SIMD")), (f("gate_up_acc"), f("gate_up")),
        (f("gate_up"), 2 * f("glu")), (f("glu"), f("down_acc", "SIMD")), (f("down_acc"), f("ffn_residual")),
        (f("embed"), f("ffn_residual")), (f("ffn_residual"), f("final_norm")), (f("final_norm"), f("head_acc", "SIMD")),
        (f("head_acc"), f("logits")), (f("logits"), f("argmax")),
    ]  # fmt: skip
    assert all(a % b == 0 or b % a == 0 for a, b in streams)
