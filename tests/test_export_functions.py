"""Each ONNX function by itself, in ONNX Runtime, against the operation of the contract: exhaustive where possible."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgellm.export.functions import Forms, functions
from edgellm.numerics import ops

pytestmark = pytest.mark.cpu

KINDS = {
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int16): TensorProto.INT16,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
}
LINEARS = frozenset({"Linear", "LinearResidual", "Head"})
NARROW = Forms(True, LINEARS, frozenset())
FUSED = Forms(True, LINEARS, frozenset(), fused_residual=True)
SCALED = Forms(True, LINEARS, frozenset(), scaled_scores=True)
INTEGER = Forms(False, frozenset(), LINEARS)
DOUBLE = Forms(False, frozenset(), frozenset())
TABLE = Forms(True, LINEARS, frozenset(), rotation_table=True)


def run(op, feeds, outputs, forms=NARROW, **attributes):
    """Results of one call of function `op`; `outputs` are names and types."""
    node = helper.make_node(op, list(feeds), list(outputs), domain="edgellm", **attributes)
    inputs = [helper.make_tensor_value_info(n, KINDS[a.dtype], a.shape) for n, a in feeds.items()]
    results = [helper.make_tensor_value_info(n, KINDS[np.dtype(t)], None) for n, t in outputs.items()]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, results),
        functions=functions(forms),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("edgellm", 1)],
        ir_version=10,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def shifted(x):
    """What enters a linear layer: uint8, 128 more than the number."""
    return (x.astype(np.int16) + 128).astype(np.uint8)


def pairs():
    """Every pair of int8 values: two arrays [65536]."""
    grid = np.arange(-128, 128)
    return [a.reshape(-1).astype(np.int8) for a in np.meshgrid(grid, grid)]


@pytest.mark.parametrize("shift", range(9))
def test_embedding(shift):
    table = np.arange(-128, 128, dtype=np.int8).reshape(32, 8)
    (got,) = run("Embedding", {"token": np.arange(32), "table": table}, {"y": np.int16}, shift=shift)
    assert np.array_equal(got, [ops.embed(table, token, shift) for token in range(32)])


def residuals():
    """Rows of 4: random ones of every size, ends, zeros, and rows whose sum of squares is a power of four.

    There n is a power of two and r*n lands in the middle between two results.
    """
    rng = np.random.default_rng(0)
    sizes = 2 ** rng.integers(1, 16, (3000, 1))
    random = rng.integers(-sizes, sizes, (3000, 4))
    ends = rng.choice([-32768, -1, 0, 1, 32767], (300, 4))
    square = [(a, b, c, d) for a in range(13) for b in range(13) for c in range(13) for d in range(13)]
    ties = [
        np.array(row) << k for row in square if sum(x * x for x in row) in (1, 4, 16, 64, 256) for k in (0, 5)
    ]
    return np.concatenate([random, ends, ties, [-t for t in ties]]).astype(np.int16)


@pytest.mark.parametrize("shift", range(1, 21))
def test_rms_norm(shift):
    rows = residuals()
    want = shifted(ops.rms_norm(rows, shift))
    for forms in (NARROW, DOUBLE) if shift <= 16 else (DOUBLE,):
        (got,) = run("RMSNorm", {"residual": rows}, {"y": np.uint8}, forms, shift=shift)
        assert np.array_equal(got, want)


def test_rms_norm_rows_hold_ties():
    rows, shift = residuals().astype(int), 16
    scaled = [[r * ops.inverse_root(int((row * row).sum())) for r in row] for row in rows]
    assert sum(x % 2**shift == 2 ** (shift - 1) for row in scaled for x in row) > 100


@pytest.mark.parametrize(("cos", "sin"), [(8192, 0), (0, -8192), (5793, 5793), (-8192, 8192), (4095, -7071)])
def test_rope_on_every_pair(cos, sin):
    x = np.stack(pairs(), axis=-1)
    qkv = np.concatenate([x, x[::-1], x], axis=-1)
    position = np.ones(len(x), np.int64)
    tables = {"cos": np.array([[8192], [cos]], np.int16), "sin": np.array([[0], [sin]], np.int16)}
    want = ops.rope_qkv(qkv, 2, 2, tables["cos"][1], tables["sin"][1])
    for forms in (NARROW, TABLE):
        feeds = {"qkv": qkv, "position": position} | tables
        (got,) = run("RoPE", feeds, {"y": np.int8}, forms, heads=1, kv_heads=1)
        assert np.array_equal(got, want)


@pytest.mark.parametrize("shift", [1, 2, 4, 7, 15])
def test_silu_gate_on_every_pair(shift):
    gate, up = (a.reshape(-1, 64) for a in pairs())
    table = np.random.default_rng(shift).integers(-128, 128, 256).astype(np.int8)
    feeds = {"gate_up": np.concatenate([gate, up], axis=1), "table": table}
    (got,) = run("SiLUGate", feeds, {"y": np.uint8}, shift=shift)
    assert np.array_equal(got, shifted(ops.silu_gate(feeds["gate_up"], table, shift)))


def linear(rng, bits, mult_bits, shift, columns=64, inputs=24):
    limit = 2 ** (bits - 1) - 1
    x = rng.integers(-128, 128, (50, inputs))
    x[0], x[1] = -128, 127
    weight = rng.integers(-limit, limit + 1, (inputs, columns))
    weight[:, 0], weight[:, 1] = limit, -limit
    mult = rng.integers(1, 2**mult_bits, columns)
    mult[:2] = 2**mult_bits - 1
    room = max(1, min(2**31, 2**22 if mult_bits < 8 else 2**31) - 1)
    bias = rng.integers(-room, room, columns)
    return {
        "x": x.astype(np.int8),
        "weight": weight.astype(np.int8),
        "mult": mult.astype(np.int32),
        "bias": bias.astype(np.int32),
    }


CASES = [
    (NARROW, 4, 6, 1),
    (NARROW, 4, 6, 9),
    (NARROW, 4, 6, 20),
    (NARROW, 2, 6, 12),
    (FUSED, 4, 6, 1),
    (FUSED, 4, 6, 6),
    (INTEGER, 4, 16, 1),
    (INTEGER, 4, 16, 24),
    (INTEGER, 7, 16, 31),
    (DOUBLE, 8, 16, 12),
    (DOUBLE, 8, 16, 31),
]


@pytest.mark.parametrize("columns", [64, 256, 257])
@pytest.mark.parametrize(("forms", "bits", "mult_bits", "shift"), CASES)
def test_linear_layers(forms, bits, mult_bits, shift, columns):
    rng = np.random.default_rng(shift)
    feeds = linear(rng, bits, mult_bits, shift, columns)
    args = feeds["mult"], feeds["bias"], shift
    acc = ops.accumulate(feeds["x"], feeds["weight"])
    feeds["x"] = shifted(feeds["x"])
    attributes = {"forms": forms, "shift": shift, "weight_bits": bits}
    (got,) = run("Linear", feeds, {"y": np.int8}, **attributes)
    assert np.array_equal(got, ops.requantise(acc, *args))
    (got,) = run("Head", feeds, {"y": np.int16}, **attributes)
    assert np.array_equal(got, ops.logits(acc, *args))
    residual = rng.integers(-32768, 32768, acc.shape).astype(np.int16)
    x = feeds.pop("x")
    (got,) = run("LinearResidual", {"x": x, "residual": residual} | feeds, {"y": np.int16}, **attributes)
    assert np.array_equal(got, ops.add_residual(acc, *args, residual))


HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 4, 2, 6, 20


def attention_feeds(rng, rows, slots):
    """Random caches (also behind the position), a table without structure."""
    table = rng.integers(0, 256, 256).astype(np.uint8)
    table[0], table[255] = 255, 0
    cache = (slots, KV_HEADS, CONTEXT, HEAD_DIM)
    qkv, keys, values = (
        rng.integers(-128, 128, shape).astype(np.int8)
        for shape in [(rows, (HEADS + 2 * KV_HEADS) * HEAD_DIM), cache, cache]
    )
    qkv[0] = keys[0] = -128
    return {"qkv": qkv, "keys": keys, "values": values, "exp_table": table}


def check_attention(feeds, position, score_mult, score_shift, forms):
    """One call of the function against the operation, token by token; with one slot, all tokens are its."""
    outputs = {"y": np.uint8, "keys_out": np.int8, "values_out": np.int8}
    attributes = {
        "heads": HEADS,
        "kv_heads": KV_HEADS,
        "score_mult": score_mult,
        "score_shift": score_shift,
    }
    names = "qkv", "position", "keys", "values", "exp_table"
    feeds = feeds | {"position": position}
    given = {name: feeds[name] for name in names}
    got, new_keys, new_values = run("Attention", given, outputs, forms, **attributes)
    keys, values = feeds["keys"].copy(), feeds["values"].copy()
    for row, at in enumerate(position):
        by_head, slot = feeds["qkv"][row].reshape(-1, HEAD_DIM), row % len(keys)
        keys[slot, :, at] = by_head[HEADS : HEADS + KV_HEADS]
        values[slot, :, at] = by_head[HEADS + KV_HEADS :]
        seen = keys[slot, :, : at + 1], values[slot, :, : at + 1]
        want = ops.attention(by_head[:HEADS], *seen, feeds["exp_table"], score_mult, score_shift)
        assert np.array_equal(got[row], shifted(want))
    assert np.array_equal(new_keys, keys)
    assert np.array_equal(new_values, values)


SCORES = [
    (1, 0, NARROW),
    (40, 10, NARROW),
    (65535, 16, NARROW),
    (577, 16, NARROW),
    (1, 0, SCALED),
    (85, 11, SCALED),
]


@pytest.mark.parametrize(("score_mult", "score_shift", "forms"), SCORES)
def test_attention(score_mult, score_shift, forms):
    """Slots at every position."""
    feeds = attention_feeds(np.random.default_rng(score_shift), CONTEXT, CONTEXT)
    check_attention(feeds, np.arange(CONTEXT), score_mult, score_shift, forms)


@pytest.mark.parametrize(("score_mult", "score_shift", "forms"), SCORES)
def test_attention_of_several_tokens_of_a_slot(score_mult, score_shift, forms):
    for start, count in ((0, 20), (7, 5), (19, 1)):
        feeds = attention_feeds(np.random.default_rng(start), count, 1)
        check_attention(feeds, np.arange(start, start + count), score_mult, score_shift, forms)


@pytest.mark.parametrize(("score_mult", "score_shift", "forms"), SCORES)
def test_attention_of_a_token_alone(score_mult, score_shift, forms):
    """What lies behind its position in the cache is not seen."""
    for at in (0, 7, CONTEXT - 1):
        feeds = attention_feeds(np.random.default_rng(at), 1, 1)
        check_attention(feeds, np.array([at]), score_mult, score_shift, forms)


def test_argmax_takes_the_lowest_index():
    logits = np.array([[1, 5, 5, 2], [-7, -7, -8, -7], [32767, -32768, 32767, 0]], np.int16)
    (got,) = run("ArgMax", {"logits": logits}, {"y": np.int64})
    assert got.tolist() == [1, 0, 0]
