"""What lies outside the contract is named, with its value and the limit."""

from dataclasses import replace

import numpy as np
import pytest
from shapes import SMALL, TINY

from edgellm.errors import ModelUnsupported
from edgellm.numerics.model import Widths
from edgellm.numerics.random import extreme_model, random_model
from edgellm.numerics.validate import largest_accumulator, largest_scaled, validate

MODEL = random_model(TINY, seed=0)


def changed(array, index, value, dtype=np.int64):
    copy = array.astype(dtype)
    copy[index] = value
    return copy


def with_qkv(layer, **fields):
    blocks = list(MODEL.blocks)
    blocks[layer] = replace(blocks[layer], qkv=replace(blocks[layer].qkv, **fields))
    return replace(MODEL, blocks=tuple(blocks))


def numerics(**fields):
    return replace(MODEL, numerics=replace(MODEL.numerics, **fields))


def widths(**fields):
    return replace(MODEL, widths=Widths(**fields))


def arch(**fields):
    return replace(MODEL, arch=replace(MODEL.arch, **fields))


QKV = MODEL.blocks[0].qkv

CASES = [
    (arch(vocab=65536), "vocab is 65536; the contract allows 2..65535"),
    (arch(width=0), "width is 0; the contract allows 1..16384"),
    (arch(layers=256), "layers is 256; the contract allows 1..255"),
    (arch(heads=3, kv_heads=2), "heads is 3; it must be a multiple of kv_heads, 2"),
    (arch(head_dim=7), "head_dim is 7; RoPE rotates pairs, so it must be even"),
    (arch(heads=1024, head_dim=18), "heads * head_dim is 18432; the contract allows 1..16384"),
    (numerics(norm_shift=21), "norm_shift is 21; the contract allows 1..20"),
    (numerics(norm_shift=0), "norm_shift is 0; the contract allows 1..20"),
    (numerics(score_mult=65536), "score_mult is 65536; the contract allows 1..65535"),
    (numerics(score_shift=17), "score_shift is 17; the contract allows 0..16"),
    (numerics(glu_shift=0), "glu_shift is 0; the contract allows 1..15"),
    (numerics(embed_shift=9), "embed_shift is 9; the contract allows 0..8"),
    (replace(MODEL, blocks=MODEL.blocks[:1]), "blocks are 1; the architecture has 2"),
    (
        replace(MODEL, embedding=changed(MODEL.embedding, (3, 1), 128)),
        "embedding[3, 1] is 128; the contract allows -128..127",
    ),
    (
        replace(MODEL, embedding=MODEL.embedding.astype(np.float32)),
        "embedding holds float32; the contract allows integers only",
    ),
    (
        replace(MODEL, embedding=MODEL.embedding[:, :-1]),
        "embedding has shape [40, 15]; the architecture needs [40, 16]",
    ),
    (
        with_qkv(1, weight=changed(QKV.weight, (0, 2), 8)),
        "block1.qkv.weight[0, 2] is 8; the contract allows -7..7",
    ),
    (
        with_qkv(0, mult=changed(QKV.mult, 5, 65536)),
        "block0.qkv.mult[5] is 65536; the contract allows 1..65535",
    ),
    (with_qkv(0, mult=changed(QKV.mult, 5, 0)), "block0.qkv.mult[5] is 0; the contract allows 1..65535"),
    (
        with_qkv(0, bias=changed(QKV.bias, 1, 2**31)),
        "block0.qkv.bias[1] is 2147483648; the contract allows -2147483648..2147483647",
    ),
    (with_qkv(0, shift=32), "block0.qkv.shift is 32; the contract allows 1..31"),
    (with_qkv(0, weight_bits=9), "block0.qkv.weight_bits is 9; the contract allows 2..8"),
    (
        with_qkv(1, shift=QKV.shift + 1),
        f"block1.qkv.shift is {QKV.shift + 1}; all layers share one, and block0 has {QKV.shift}",
    ),
    (widths(activation=6), "widths.activation is 6; the contract allows 4 or 8"),
    (widths(glu=5), "widths.glu is 5; the contract allows 4 or 8"),
    (widths(kv=2), "widths.kv is 2; the contract allows 4 or 8"),
    (widths(embedding=9), "widths.embedding is 9; the contract allows 2..8"),
    (
        replace(widths(embedding=4), embedding=np.full_like(MODEL.embedding, 8)),
        "embedding[0, 0] is 8; the contract allows -8..7",
    ),
    (
        replace(numerics(norm_shift=25), widths=Widths(activation=4)),
        "norm_shift is 25; the contract allows 1..24",
    ),
    (replace(MODEL, exp_table=changed(MODEL.exp_table, 0, 254)), "exp_table[0] is 254; it must be 255"),
    (replace(MODEL, exp_table=changed(MODEL.exp_table, 255, 1)), "exp_table[255] is 1; it must be 0"),
    (
        replace(MODEL, silu_table=MODEL.silu_table[:9]),
        "silu_table has shape [9]; the architecture needs [256]",
    ),
    (
        replace(MODEL, rope_cos=changed(MODEL.rope_cos, (2, 1), 8193)),
        "rope_cos[2, 1] is 8193; the contract allows -8192..8192",
    ),
]


@pytest.mark.parametrize(("model", "message"), CASES, ids=[message[:40] for _, message in CASES])
def test_outside_the_contract(model, message):
    with pytest.raises(ModelUnsupported) as caught:
        validate(model)
    assert str(caught.value) == message


def test_scaled_accumulators_stay_below_2_to_the_47():
    wide = replace(TINY, width=16384, layers=1, ffn=8, vocab=2)
    model = extreme_model(wide, 0, "high", weight_bits=8)
    head = replace(model.head, mult=np.full_like(model.head.mult, 65535))
    bound = 16384 * 127 * 128 * 65535 + 2**31 - 1
    assert bound < 2**47
    validate(replace(model, head=head))
    assert int(largest_scaled(head).max()) == bound
    assert int(largest_accumulator(head.weight).max()) < 2**31


def test_the_limit_of_the_scaled_accumulator(monkeypatch):
    monkeypatch.setattr("edgellm.numerics.validate.MAX_SCALED", int(largest_scaled(QKV).max()))
    channel = int(np.argmax(largest_scaled(QKV)))
    with pytest.raises(ModelUnsupported) as caught:
        validate(MODEL)
    bound = largest_scaled(QKV).max()
    assert (
        str(caught.value)
        == f"block0.qkv channel {channel}: |acc|*mult + |bias| can reach {bound}; the limit is 2^47"
    )


@pytest.mark.parametrize("name", SMALL)
def test_sound_models_pass(name):
    validate(random_model(SMALL[name], seed=3))
