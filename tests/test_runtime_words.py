"""Command and event words, as docs/hardware.md writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import UsageError
from edgellm.numerics.sampling import Sampling
from edgellm.runtime import words
from edgellm.runtime.words import Event


def test_submit():
    how = Sampling(seed=0x1122334455667788, temperature=0x99)
    assert words.submit(5, [7, 8, 9], 20, [3], 11, how, "chosen") == [
        *(0x11050003, 20 << 16 | 11, 0xFFFF0003, 0x99 << 16, 0x55667788, 0x11223344),
        *(7, 8, 9),
    ]
    assert words.submit(0, [1], 1, [4, 5])[2] == 5 << 16 | 4
    assert words.submit(0, [1], 10**9)[1] == 0xFFFF0000
    assert words.submit(0, [1], 1, logits="all")[0] == 0x13000001


def test_cancel_and_copy():
    assert words.cancel(3) == [0x20030000]
    assert words.copy(2, 6, 17) == [0x30060011, 2]


def test_too_many_stop_ids():
    with pytest.raises(UsageError, match=r"3 stop ids: the accelerator compares 2; use stop strings instead"):
        words.submit(0, [1], 1, [1, 2, 3])


@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.sampled_from([None, 1, 2, 3, 4, 5]))
def test_events(token, slot, reason):
    word = slot << 16 | token | (0 if reason is None else 1 << 24 | reason << 25)
    assert words.event(word, 9) == Event(token, slot, words.REASONS.get(reason), 9)


def test_a_reason_nobody_knows_is_a_rejection():
    assert words.event(1 << 24 | 7 << 25).reason == "rejected"


def test_the_slot_of_a_tag():
    assert words.tag_slot(0x02A50011) == 0xA5
