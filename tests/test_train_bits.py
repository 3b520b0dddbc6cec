"""Widths in a recipe: who has which, what they cost, and what is refused."""

import pytest
from shapes import TINY

from edgellm.errors import ConfigError
from edgellm.numerics.model import Widths
from edgellm.train import config, footprint
from edgellm.train.bits import Bits, problems

pytestmark = pytest.mark.train

MIXED = Bits(weight=4, head=8, overrides={"down": 3, "layers.1.down": 6, "layers.0.qkv": 8})


def test_a_layer_goes_before_a_kind_and_a_kind_before_all():
    assert [MIXED.of("down", layer) for layer in range(3)] == [3, 6, 3]
    assert [MIXED.of("qkv", layer) for layer in range(2)] == [8, 4]
    assert MIXED.of("head", 0) == 8


def test_multipliers_are_wider_where_layers_differ():
    assert (MIXED.mult_bits("down", 2), MIXED.mult_bits("gate_up", 2), MIXED.mult_bits("head", 2)) == (
        11,
        8,
        8,
    )
    assert Bits(overrides={"layers.0.qkv": 2, "layers.1.qkv": 8}).mult_bits("qkv", 2) == 14


def test_widths_of_what_is_no_weight():
    assert Bits(activation=4, kv=4, embedding=5, glu=8).widths == Widths(4, 4, 5, 8)


@pytest.mark.parametrize(
    ("bits", "problem"),
    [
        (Bits(weight=1), ("weight", "must be 2 to 8, not 1")),
        (Bits(head=9), ("head", "must be 2 to 8, not 9")),
        (Bits(embedding=1), ("embedding", "must be 2 to 8, not 1")),
        (Bits(activation=6), ("activation", "must be 4 or 8, not 6")),
        (Bits(glu=2), ("glu", "must be 4 or 8, not 2")),
        (Bits(kv=3), ("kv", "must be 4 or 8, not 3")),
        (Bits(overrides={"down": 9}), ("overrides.down", "must be 2 to 8, not 9")),
        (
            Bits(overrides={"layers.2.down": 4}),
            (
                "overrides.layers.2.down",
                "is no linear layer: qkv, attn_out, gate_up, down, or layers.0.KIND to layers.1.KIND",
            ),
        ),
    ],
)
def test_problems(bits, problem):
    assert list(problems(bits, 2)) == [problem]


def test_the_shipped_widths_are_fine():
    assert list(problems(MIXED, 2)) == []


RECIPE = """
name = "n"
description = "d"
[corpus]
train = 9
valid = 9
[student]
vocab = 300
width = 16
layers = 2
heads = 2
kv_heads = 1
head_dim = 8
ffn = 24
context = 64
[student_plan]
tokens = 9
[qat_plan]
tokens = 9
[bits]
weight = 4
kv = 4
"""


def test_overrides_in_a_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(
        RECIPE + '[bits.overrides]\ndown = 3\n"layers.0.qkv" = 8\n[bits.overrides.layers.1]\nqkv = 2\n'
    )
    overrides = {"down": 3, "layers.0.qkv": 8, "layers.1.qkv": 2}
    assert config.load(path).bits == Bits(weight=4, kv=4, overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[bits.overrides]\nup = 3\n",
            r"r\.toml:24: bits\.overrides\.up is no linear layer: qkv, attn_out, ",
        ),
        ("[bits.overrides]\ndown = '3'\n", r"r\.toml:24: bits\.overrides\.down must be int, not '3'"),
        ("overrides = 3\n", r"r\.toml:23: bits\.overrides must be a table, not 3"),
        ("activation = 7\n", r"r\.toml:23: bits\.activation must be 4 or 8, not 7"),
    ],
)
def test_wrong_widths_in_a_recipe(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(RECIPE + text)
    with pytest.raises(ConfigError, match=message):
        config.load(tmp_path / "r.toml")


def test_what_memory_holds():
    """Counted by hand: 2 layers of qkv 16x32, attn_out 16x16, gate_up 16x48, down 24x16; 40 tokens of 16."""
    block, cache = 512 + 256 + 768 + 384, 2 * 2 * 24 * 8
    plain = Bits(weight=4, head=8, embedding=5, kv=4)
    assert footprint.memory_bits(TINY, plain) == 2 * block * 4 + 640 * 8 + 640 * 5 + cache * 4
    wider = Bits(weight=4, head=8, embedding=5, kv=4, overrides={"layers.0.down": 7})
    assert footprint.memory_bits(TINY, wider) - footprint.memory_bits(TINY, plain) == 2 * 384 * 3
    assert footprint.weight_bits(TINY, wider) - footprint.weight_bits(TINY, plain) == 384 * 3


def test_bit_operations():
    attention = 2 * 2 * 24 * 16
    down, rest, head = 2 * 384, 2 * (512 + 256 + 768), 640
    found = footprint.bit_operations(TINY, Bits(weight=4, head=3, activation=4, glu=8, kv=4))
    assert found == 4 * (down * 8 + rest * 4) + head * 3 * 4 + attention * 8 * 4
