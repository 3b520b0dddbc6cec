"""The tables that an exporter writes."""

import math

import numpy as np

from edgellm.numerics.tables import exp_table, rope_tables, silu_table


def test_exp_table():
    table = exp_table()
    assert table.dtype == np.uint8
    assert table[0] == 255
    assert table[255] == 0
    assert table[24] == round(255 / math.e)
    assert (np.diff(table.astype(int)) <= 0).all()


def test_silu_table_follows_the_function_and_saturates():
    table = silu_table(1 / 16, 1 / 16)
    assert table.dtype == np.int8
    assert table[128] == 0
    assert table[128 + 16] == round(16 / (1 + math.exp(-1)))
    assert silu_table(1.0, 1 / 16)[255] == 127


def test_rope_tables():
    cos, sin = rope_tables(8, 4, theta=100.0)
    assert cos.dtype == sin.dtype == np.int16
    assert cos.shape == sin.shape == (8, 2)
    assert cos[0].tolist() == [8192, 8192]
    assert sin[0].tolist() == [0, 0]
    assert cos[3, 1] == math.floor(math.cos(3 / 10) * 8192 + 0.5)
    assert sin[3, 0] == math.floor(math.sin(3) * 8192 + 0.5)
