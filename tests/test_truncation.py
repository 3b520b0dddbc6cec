"""Truncation policies."""

import pytest

from edgellm.errors import PromptTooLong
from edgellm.truncation import truncate

IDS = list(range(20))


def test_what_fits_stays():
    for policy in ("error", "left", "middle"):
        assert truncate(IDS, 20, policy, 3, 3) == IDS


def test_error():
    with pytest.raises(PromptTooLong, match=r"^the prompt has 20 tokens, the context holds 19: shorten it$"):
        truncate(IDS, 19, "error")


def test_left_drops_the_oldest_behind_the_head():
    assert truncate(IDS, 8, "left", 2, 1) == [0, 1, 14, 15, 16, 17, 18, 19]
    assert truncate(IDS, 3, "left") == [17, 18, 19]


def test_middle_keeps_both_ends():
    assert truncate(IDS, 8, "middle", 2, 1) == [0, 1, 2, 3, 4, 17, 18, 19]
    assert truncate(IDS, 9, "middle", 2, 2) == [0, 1, 2, 3, 4, 16, 17, 18, 19]


@pytest.mark.parametrize("policy", ["left", "middle"])
@pytest.mark.parametrize("room", range(4, 20))
def test_head_and_tail_always_stay(policy, room):
    got = truncate(IDS, room, policy, 2, 1)
    assert len(got) == room
    assert got[:2] == IDS[:2]
    assert got[-1:] == IDS[-1:]
    assert got == sorted(set(got))


def test_a_template_that_leaves_no_room():
    message = r"^the prompt has 20 tokens, the context holds 5, and 5 of the template have to stay: shorten the template$"
    with pytest.raises(PromptTooLong, match=message):
        truncate(IDS, 5, "left", 3, 2)
