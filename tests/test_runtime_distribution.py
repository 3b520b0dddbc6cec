"""Softmax weights and cuts in integers, against real numbers and against definitions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.runtime import distribution

ONE = 1 << distribution.BITS
LOGITS = st.lists(st.integers(-32768, 32767), min_size=1, max_size=40).map(lambda x: np.array(x, np.int64))


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.integers(1, 65535), st.integers(1, 14))
def test_weights_are_those_of_a_softmax(logits, temperature, step_bits):
    got = distribution.weights(logits, temperature, step_bits)
    want = np.exp((logits - logits.max()) * 4096.0 / temperature / 2.0**step_bits) * ONE
    assert got.dtype == np.int64
    assert got.max() == ONE
    assert np.abs(got - want).max() < 2


def test_weights_of_tokens_that_can_never_come_are_zero():
    assert distribution.weights(np.array([0, -(1 << 40)]), 65535, 14).tolist() == [ONE, 0]


def test_known_weights():
    """To the last bit: another platform must give the same."""
    assert distribution.weights(np.array([0, -1, -256, -1024, -5000]), 4096, 8).tolist() == [
        1073741824,
        1069555701,
        round(math.exp(-1) * ONE),
        round(math.exp(-4) * ONE),
        4,
    ]


def test_top_k_takes_the_lower_index_of_equals():
    assert distribution.top_k(np.array([3, 9, 3, 9, 3]), 3).tolist() == [True, True, False, True, False]
    assert distribution.top_k(np.array([1, 2]), 5).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, ONE), min_size=1, max_size=30).filter(any), st.integers(1, 99))
def test_top_p_is_the_smallest_set_that_reaches_the_share(likely, percent):
    share = percent / 100
    likely = np.array(likely, np.int64)
    kept = distribution.top_p(likely, share)
    wanted = Fraction(int(share * ONE), ONE) * int(likely.sum())
    assert likely[kept].sum() >= wanted
    assert likely[kept].sum() - likely[kept].min() < wanted
    assert not (~kept).any() or likely[kept].min() >= likely[~kept].max()


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.integers(1, 65535), st.integers(1, 14), st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_min_p_compares_with_the_likeliest(logits, temperature, step_bits, share):
    kept = distribution.min_p(logits, share, temperature, step_bits)
    real = np.exp((logits - logits.max()) * 4096.0 / temperature / 2.0**step_bits)
    sure = np.abs(real - share) > 1e-9
    assert (kept == (real >= share))[sure].all()
    assert kept[logits.argmax()]


def test_confidence():
    assert distribution.confidence(np.array([7, 7, 7, 7]), 8) == 0.25
    assert distribution.confidence(np.array([1000, -32768]), 2) == 1.0
    assert distribution.confidence(np.array([256, 0]), 8) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-8)


def test_log_probabilities():
    got = distribution.log_probabilities(np.array([256, 0, 0]), 8)
    assert np.exp(got).sum() == pytest.approx(1)
    assert got[0] - got[1] == pytest.approx(1)
