"""Seeded sampling: the published generator, the distribution, and that nothing but seed, position and token counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import ModelUnsupported, UsageError
from edgellm.numerics import ops, sampling
from edgellm.numerics.sampling import GREEDY, Sampling

STEP_BITS = 8


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_the_generator_is_the_published_one(key, counter, expected):
    """Known answers of the authors' library, threefry2x32 with 13 rounds."""
    words = sampling.threefry(key, tuple(np.array([word], np.uint32) for word in counter))
    assert tuple(int(word[0]) for word in words) == expected


def test_words_depend_on_seed_position_and_token_alone():
    words = sampling.random_words(1 << 40 | 5, 17, 512)
    assert words.dtype == np.uint32
    assert (sampling.random_words(1 << 40 | 5, 17, 33) == words[:33]).all()
    for seed, position in ((5, 17), (1 << 40 | 5, 18), (1 << 41 | 5, 17)):
        assert (sampling.random_words(seed, position, 512) != words).mean() > 0.99


def test_noise_is_gumbel():
    """Against the formula on an even grid of words; the lowest 1/32, which has no end, by its mean alone."""
    words = (np.arange(1 << 20, dtype=np.uint64) * 4096 + 2048).astype(np.uint32)
    noise = sampling.noise(words) / sampling.NOISE_STEPS
    exact = -np.log(-np.log1p(-(words + 0.5) / 2.0**32))
    upper = words < 31 << 27
    assert np.abs(noise - exact)[upper].max() < 0.015
    assert np.abs(noise - exact)[words < 1 << 31].max() < 0.002
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=1e-3)
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=2e-3)
    assert (np.diff(noise) <= 0).all()


@pytest.mark.parametrize("word", [0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_noise_at_the_ends(word):
    exact = -np.log(-np.log1p(-(word | 1) / 2.0**32)) if word < 0xF0000000 else -1.707
    assert sampling.noise(np.array([word], np.uint32))[0] / 1024 == pytest.approx(exact, abs=0.02)


def test_the_table_fits_the_hardware():
    base, drop = sampling.noise_table()
    assert base.shape == drop.shape == (512,)
    assert np.abs(base).max() < 1 << 15
    assert 0 <= drop.min() <= drop.max() < 1 << 10


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_draws_follow_the_softmax(temperature):
    nats = np.array([0.0, 1.0, 2.0, 2.5, -2.0, 0.3])
    logits = (nats * 2**STEP_BITS).astype(np.int16)
    how = Sampling.of(7, temperature)
    draws = 20_000
    seen = np.bincount([sampling.choose(logits, how, p, STEP_BITS) for p in range(draws)], minlength=6)
    expected = np.exp(nats / temperature)
    expected *= draws / expected.sum()
    kept = expected > 5
    assert ((seen - expected) ** 2 / expected)[kept].sum() < 25  # chi-square of 5 degrees: p about 0.0001


@given(st.integers(0, 2**64 - 1), st.integers(0, 65535), st.integers(1, 40), st.integers(0, 2**32))
def test_temperature_zero_is_greedy(seed, position, size, random):
    logits = np.random.default_rng(random).integers(-3, 4, size).astype(np.int16)
    for step_bits in sampling.STEP_BITS:
        assert sampling.choose(logits, Sampling(seed), position, step_bits) == ops.argmax(logits)


def test_scores_never_overflow_their_lanes():
    for step_bits in sampling.STEP_BITS:
        bits = sampling.score_bits(step_bits)
        for value in (-32768, 32767):
            logits = np.full(4096, value)
            found = sampling.scores(logits, Sampling(3, sampling.MAX_TEMPERATURE), 9, step_bits)
            assert -(1 << (bits - 1)) <= found.min() <= found.max() < 1 << (bits - 1)


@pytest.mark.parametrize(
    ("seed", "temperature", "message"),
    [
        (-1, 0.0, r"seed -1 must be 0 to 2\^64 - 1"),
        (1 << 64, 0.0, "seed 18446744073709551616 must be"),
        (0, -0.1, r"temperature -0\.100098 must be 0 to 15\.9998"),
        (0, 16.0, r"temperature 16 must be 0 to 15\.9998"),
    ],
)
def test_out_of_range(seed, temperature, message):
    with pytest.raises(UsageError, match=message):
        Sampling.of(seed, temperature)


@pytest.mark.parametrize(("step", "bits"), [(None, 8), (2.0**-8, 8), (0.5, 1), (2.0**-14, 14)])
def test_step_bits(step, bits):
    assert sampling.step_bits_of(step) == bits


@pytest.mark.parametrize("step", [1.0, 2.0**-15, 0.003])
def test_steps_that_cannot_be_sampled(step):
    with pytest.raises(
        ModelUnsupported, match=r"the logit step 0\.003 is no power of two|a logit step of 2\^-(0|15) nats"
    ):
        sampling.step_bits_of(step)


def test_the_default_is_greedy():
    assert Sampling(0, 0) == GREEDY
    assert Sampling.of(3, 0.5).temperature == 2048
