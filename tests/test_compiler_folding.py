"""Folding factors: files, legal values, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapes import HOME

from edgellm.compiler.folding import Folding, divisors, legal, validate
from edgellm.errors import ConfigError, FoldingError


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
        ('{"format": 1, "nodes": {}, "fifos": [1]}', "fifos must map streams to the depths of their FIFOs"),
        (
            '{"format": 1, "nodes": {}, "fifos": {"a": 2}}',
            r"fifos\.a is 2, must be a whole number of at least 3",
        ),
    ],
)
def test_damaged_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Folding.load(path)


def test_fifo_depths_are_kept(tmp_path: Path) -> None:
    folding = Folding({"glu": {"PE": 2}}, {"attn_bypass": 40})
    folding.save(tmp_path / "f.json")
    assert Folding.load(tmp_path / "f.json") == folding


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a readable JSON file"):
        Folding.load(tmp_path / "none.json")
