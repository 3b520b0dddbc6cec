"""Answers that go round in circles."""

import pytest

from edgellm.runtime.repetition import LONGEST, repeated


@pytest.mark.parametrize(
    ("tokens", "times", "found"),
    [
        ([], 2, False),
        ([1, 1], 2, True),
        ([1, 1], 3, False),
        ([5, 1, 2, 1, 2, 1, 2], 3, True),
        ([1, 2, 1, 2, 1, 2, 3], 3, False),
        ([1, 2, 3, 1, 2, 3], 2, True),
        ([*range(LONGEST)] * 2, 2, True),
        ([*range(LONGEST + 1)] * 2, 2, False),
    ],
)
def test_repeated(tokens, times, found):
    assert repeated(tokens, times) == found
