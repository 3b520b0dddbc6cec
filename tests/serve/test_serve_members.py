"""A worker's accounts: cool-down, outstanding work, what prefixes it was given."""

import pytest

from edgellm.runtime.slots import BLOCK
from edgellm.serve.members import KEPT_BLOCKS, LONGEST_COOL_DOWN, CoolDown, Member, MemberState, prefix_keys


class Some:
    name, backend, slots = "some-0", "some", 2


def prompt(*blocks):
    """A prompt of whole blocks, and a token more, which no cache has."""
    return [token for block in blocks for token in [block] * BLOCK] + [0]


def test_a_cool_down_doubles_up_to_a_minute_and_is_short_again_after_good_times():
    cool_down, now = CoolDown(5.0), 100.0
    for want in (5, 10, 20, 40, 60, 60):
        cool_down.failed(now)
        assert cool_down.left(now) == want
        now += want + 1
    now += LONGEST_COOL_DOWN
    cool_down.failed(now)
    assert cool_down.left(now) == 5


def test_one_breakdown_fails_many_orders_and_counts_once():
    cool_down = CoolDown(5.0)
    for now in (0.0, 0.0, 1.0, 4.9):
        cool_down.failed(now)
    assert cool_down.left(4.9) == pytest.approx(0.1)
    assert cool_down.left(5.0) == 0


def test_accounts():
    member = Member(Some(), 5.0)
    one, other = member.give((), 30), member.give((), 7)
    one.came(4)
    assert member.state(0.0) == MemberState("some-0", 2, 33, 0, 0.0)
    one.end()
    one.end()
    other.came(100)
    assert member.state(0.0) == MemberState("some-0", 1, 0, 0, 0.0)
    other.end()
    member.failed(10.0)
    assert member.state(11.0) == MemberState("some-0", 0, 0, 1, 4.0)


def test_rank():
    now = 0.0
    idle, busy, full, failed = (Member(Some(), 5.0) for _ in range(4))
    busy.give((), 10)
    full.give((), 1)
    full.give((), 1)
    failed.failed(now)
    ranks = [member.rank((), now) for member in (idle, busy, full, failed)]
    assert ranks == sorted(ranks)


def test_a_worker_that_was_given_the_prefix_goes_first_if_its_load_allows():
    known, idle, keys = Member(Some(), 5.0), Member(Some(), 5.0), prefix_keys(prompt(1, 2, 3))
    known.give(prefix_keys(prompt(1, 2)), 40).end()
    assert known.rank(keys, 0.0) < idle.rank(keys, 0.0)
    known.give((), 2 * BLOCK + 1)  # more work than the prefix saves
    assert known.rank(keys, 0.0) > idle.rank(keys, 0.0)


def test_a_prefix_is_forgotten_with_its_worker_and_in_time():
    member, keys = Member(Some(), 5.0), prefix_keys(prompt(1))
    member.give(keys, 1)
    assert member.rank(keys, 0.0)[2] == 1 - BLOCK
    member.failed(0.0)
    assert member.rank(keys, 9.0)[2] == 1
    member.give(keys, 1)
    for block in range(KEPT_BLOCKS * Some.slots):
        member.give(prefix_keys(prompt(100 + block)), 0)
    assert member.rank(keys, 9.0)[2] == 2


def test_keys_are_of_whole_blocks_that_a_cache_can_have():
    assert len(prefix_keys([1] * BLOCK)) == 0
    assert len(prefix_keys([1] * (BLOCK + 1))) == 1
    assert prefix_keys(prompt(1, 2))[:1] == prefix_keys(prompt(1, 3))[:1]
    assert prefix_keys(prompt(1, 2))[1] != prefix_keys(prompt(3, 2))[1]
