"""The golden model: taps, cache, generation rules, bounds at the extremes."""

import dataclasses

import numpy as np
import pytest
from shapes import HOME, SMALL, TINY

from edgellm.errors import EmptyPrompt, PromptTooLong, UsageError
from edgellm.numerics import ops
from edgellm.numerics.generation import generate
from edgellm.numerics.golden import Generation, GoldenModel
from edgellm.numerics.random import extreme_model, random_model

PER_LAYER = {
    "attn_norm": np.int8,
    "qkv_acc": np.int32,
    "qkv": np.int8,
    "rope": np.int8,
    "attention": np.int8,
    "attn_out_acc": np.int32,
    "attn_residual": np.int16,
    "ffn_norm": np.int8,
    "gate_up_acc": np.int32,
    "gate_up": np.int8,
    "glu": np.int8,
    "down_acc": np.int32,
    "ffn_residual": np.int16,
}
ONCE = {"final_norm": np.int8, "head_acc": np.int32, "logits": np.int16, "argmax": np.int64}


def taps(model, tokens):
    golden, seen = GoldenModel(model), []
    cache = golden.new_cache()
    for position, token in enumerate(tokens):
        golden.step(cache, token, position, lambda name, layer, x: seen.append((name, layer, x)))
    return seen


@pytest.fixture(scope="module")
def tiny():
    return GoldenModel(random_model(TINY, seed=1))


def test_taps_are_those_of_the_contract_in_order():
    seen = taps(random_model(TINY, seed=0), [3])
    want = [("embed", None)]
    want += [(name, layer) for layer in range(TINY.layers) for name in PER_LAYER]
    want += [(name, None) for name in ONCE]
    assert [(name, layer) for name, layer, _ in seen] == want
    types = {"embed": np.int16} | PER_LAYER | ONCE
    assert all(tensor.dtype == types[name] for name, _, tensor in seen)


def test_tap_shapes():
    shapes = {name: tensor.shape for name, _, tensor in taps(random_model(TINY, seed=0), [3])}
    a = TINY
    assert shapes["qkv"] == shapes["rope"] == shapes["qkv_acc"] == (a.qkv_width,)
    assert shapes["attention"] == (a.attention_width,)
    assert shapes["gate_up"] == (2 * a.ffn,)
    assert shapes["glu"] == (a.ffn,)
    assert shapes["logits"] == (a.vocab,)
    assert shapes["argmax"] == (1,)


def test_a_tap_does_not_change_the_result(tiny):
    plain = tiny.step(tiny.new_cache(), 5, 0)
    tapped = tiny.step(tiny.new_cache(), 5, 0, lambda name, layer, x: None)
    assert np.array_equal(plain, tapped)


def test_the_cache_holds_rotated_keys_and_values():
    model = random_model(TINY, seed=2)
    golden, seen = GoldenModel(model), {}
    cache = golden.new_cache()
    golden.step(cache, 1, 0)
    golden.step(cache, 2, 1, lambda name, layer, x: seen.update({(name, layer): x}))
    heads = seen["rope", 1].reshape(-1, TINY.head_dim)
    assert np.array_equal(cache.keys[1, :, 1], heads[TINY.heads : TINY.heads + TINY.kv_heads])
    assert np.array_equal(cache.values[1, :, 1], heads[TINY.heads + TINY.kv_heads :])
    assert not cache.keys[:, :, 2:].any()


def test_later_positions_of_an_old_conversation_do_not_matter(tiny):
    fresh, used = tiny.new_cache(), tiny.new_cache()
    for position in range(10):
        tiny.step(used, 7, position)
    for position in range(4):
        assert np.array_equal(tiny.step(fresh, 3, position), tiny.step(used, 3, position))


def test_earlier_positions_do_matter(tiny):
    first, second = tiny.new_cache(), tiny.new_cache()
    tiny.step(first, 1, 0)
    tiny.step(second, 2, 0)
    assert not np.array_equal(tiny.step(first, 3, 1), tiny.step(second, 3, 1))


def test_generate_is_argmax_fed_back(tiny):
    cache, tokens, want = tiny.new_cache(), [4, 9], []
    for position in range(8):
        logits = tiny.step(cache, tokens[position], position)
        if position >= 1:
            want.append(ops.argmax(logits))
            tokens.append(want[-1])
    assert tiny.generate([4, 9], 7) == Generation(want, "length")


def test_stop_id_ends_the_answer_and_is_not_part_of_it(tiny):
    free = tiny.generate([4, 9], 7).tokens
    stop = free[3]
    assert tiny.generate([4, 9], 7, {stop}) == Generation(free[: free.index(stop)], "stop")


def test_stop_wins_over_length(tiny):
    free = tiny.generate([4, 9], 1).tokens
    assert tiny.generate([4, 9], 1, free) == Generation([], "stop")


def test_length_wins_over_context(tiny):
    room = TINY.context - 2 + 1
    assert tiny.generate([4, 9], room).finish_reason == "length"
    assert tiny.generate([4, 9], room + 1).finish_reason == "context"
    assert len(tiny.generate([4, 9], room + 1).tokens) == room


def test_a_prompt_that_fills_the_context_still_gets_one_token(tiny):
    done = tiny.generate([1] * TINY.context, 5)
    assert len(done.tokens) == 1
    assert done.finish_reason == "context"


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "error", "message"),
    [
        ([], 1, EmptyPrompt, "the prompt has no tokens: give at least one"),
        ([1] * 25, 1, PromptTooLong, "the prompt has 25 tokens and the context holds 24: shorten it"),
        ([1], 0, UsageError, "max_tokens must be at least 1, not 0"),
        ([1, 40], 1, UsageError, "prompt token 1 is 40; the vocabulary has tokens 0..39"),
        ([-1], 1, UsageError, "prompt token 0 is -1; the vocabulary has tokens 0..39"),
    ],
)
def test_requests_that_cannot_be_answered(tiny, prompt, max_tokens, error, message):
    with pytest.raises(error) as caught:
        tiny.generate(prompt, max_tokens)
    assert str(caught.value) == message


def test_generation_feeds_positions_in_order():
    fed = []

    def step(token, position):
        fed.append((token, position))
        return token + 1

    assert list(generate(step, 9, [5, 6], 3, ())) == [7, 8, 9]
    assert fed == [(5, 0), (6, 1), (7, 2), (8, 3)]


@pytest.mark.parametrize("variant", ["high", "low", "mixed"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", SMALL)
def test_no_intermediate_leaves_its_width_at_the_extremes(name, bits, variant):
    """int32 accumulators and the 2^47 bound hold, and float64 of exact integers agrees with int64."""
    model = extreme_model(SMALL[name], seed=bits, variant=variant, weight_bits=bits)
    weights = [
        getattr(b, kind).weight for b in model.blocks for kind in ("qkv", "attn_out", "gate_up", "down")
    ]
    linears = [getattr(b, kind) for b in model.blocks for kind in ("qkv", "attn_out", "gate_up", "down")]
    accumulators = {"qkv_acc", "attn_out_acc", "gate_up_acc", "down_acc"}
    accs = [x for n, _, x in taps(model, [0]) if n in accumulators]
    inputs = [x for n, _, x in taps(model, [0]) if n in {"attn_norm", "attention", "ffn_norm", "glu"}]
    for acc, x, weight, linear in zip(accs, inputs, weights, linears, strict=True):
        exact = x.astype(object) @ weight.astype(object)
        assert acc.tolist() == list(exact)
        scaled = exact * linear.mult.astype(object) + linear.bias.astype(object)
        assert max(abs(int(v)) for v in scaled) < 2**47


def test_random_models_use_their_ranges_without_saturating():
    rng = np.random.default_rng(5)
    seen = taps(random_model(HOME, seed=0), rng.integers(HOME.vocab, size=24).tolist())
    for name in ("attn_norm", "qkv", "rope", "gate_up", "glu"):
        values = np.concatenate([x for n, _, x in seen if n == name]).astype(int)
        assert 15 < values.std() < 50, name
        assert (np.abs(values) >= 127).mean() < 0.02, name
    logits = np.concatenate([x for n, _, x in seen if n == "logits"])
    assert 500 < logits.std() < 8000


def test_random_models_are_reproducible_and_differ_by_seed():
    one, same, other = (random_model(TINY, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.blocks[0].qkv.weight, same.blocks[0].qkv.weight)
    assert not np.array_equal(one.blocks[0].qkv.weight, other.blocks[0].qkv.weight)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_random_models_of_any_weight_width(bits):
    model = random_model(TINY, 0, weight_bits=bits)
    assert np.abs(model.head.weight).max() == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("bits", [6, 8, 16])
def test_random_models_of_any_multiplier_width(bits):
    mult = random_model(TINY, 0, mult_bits=bits).head.mult
    assert 2 ** (bits - 2) < mult.max() < 2**bits


def test_extreme_models_refuse_an_unknown_variant():
    with pytest.raises(UsageError, match="variant is 'odd'; it is one of 'high', 'low', 'mixed'"):
        extreme_model(TINY, 0, "odd")


def test_models_are_values():
    model = random_model(TINY, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.head = model.head
