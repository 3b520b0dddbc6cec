"""Compact examples: a sequence like any other."""

import random
from collections.abc import Sequence

import pytest

from edgellm.data.examples import Examples

LINES = [([1, 5, 3, 65535, 2], 3), ([1, 2], 1), ([7], 0)]


@pytest.mark.parametrize("vocab", [512, 1 << 16, 1 << 20])
def test_what_goes_in_comes_out(vocab):
    examples = Examples(LINES, vocab)
    assert list(examples) == LINES
    assert (len(examples), examples[-1], examples[1:]) == (3, LINES[-1], LINES[1:])
    assert examples.lengths() == [5, 2, 1]
    assert isinstance(examples, Sequence)


def test_large_ids_need_a_large_vocabulary():
    assert list(Examples([([70_000], 1)], 1 << 17)) == [([70_000], 1)]
    with pytest.raises(OverflowError):
        Examples([([70_000], 1)], 1 << 16)


def test_samples_are_those_of_a_list():
    many = [([i, i + 1], 1) for i in range(200)]
    assert random.Random(3).sample(Examples(many), 20) == random.Random(3).sample(many, 20)


def test_outside():
    with pytest.raises(IndexError):
        Examples(LINES)[3]
    assert list(Examples()) == []
