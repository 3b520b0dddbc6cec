"""Multiplications of a token, counted by hand."""

from shapes import HOME, SHARED_KV

from edgellm.numerics import workload


def test_home_260k():
    linear = 5 * (64 * 128 + 64 * 64 + 64 * 384 + 192 * 64) + 64 * 512
    assert workload.macs(HOME, 0) == linear + 5 * 4 * 16 * 2
    assert workload.macs(HOME, 255) == linear + 5 * 4 * 16 * 2 * 256


def test_grouped_heads_share_keys_but_multiply_each():
    assert workload.attention_macs(SHARED_KV, 9) == 1 * 6 * 4 * 2 * 10
