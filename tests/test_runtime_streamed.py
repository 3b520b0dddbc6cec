"""Jobs on the accelerator's streams, with a link that says what it is told."""

import numpy as np
import pytest
from shapes import TINY

from edgellm.errors import BackendFailed
from edgellm.runtime import words
from edgellm.runtime.backends.streamed import StreamedDevice, counters
from edgellm.runtime.device import LOGITS, Event, Job
from edgellm.runtime.words import Event as Came


class Script:
    """A link with portions of events that come one after the other."""

    def __init__(self, *portions):
        self.portions, self.sent, self.cycles = list(portions), [], 100
        self.closed = self.shown = 0

    def send(self, command):
        self.sent.append(command)

    def receive(self, timeout):
        return self.portions.pop(0) if self.portions else ()

    def logits(self, slot):
        self.shown += 1
        return np.full(TINY.vocab, slot, np.int16)

    def cycle(self):
        return self.cycles

    def close(self):
        self.closed += 1


def device(*portions):
    link = Script(*portions)
    return StreamedDevice("script", link, TINY, None, 8), link


def test_tokens_and_reasons():
    made, link = device([Came(5, 2, None, 150)], [Came(6, 2, None, 160), Came(7, 2, "length", 180)])
    made.submit(2, Job([1, 2], 3, frozenset([9, 4])))
    assert link.sent == [words.submit(2, [1, 2], 3, [4, 9])]
    assert made.poll(0.0) == [Event(2, 5)]
    assert made.poll(0.0) == [Event(2, 6), Event(2, 7, "length")]
    assert made.poll(0.0) == ()
    assert made.counters(2) == {"cycles": 80.0, "cycles_first_token": 50.0, "cycles_per_token": 15.0}


def test_no_more_than_the_context_is_asked_for():
    made, link = device()
    made.submit(0, Job([1], 10**9))
    assert link.sent == [words.submit(0, [1], TINY.context + 1)]


def test_without_cycles_there_are_no_counters():
    made, _ = device([Came(5, 0, "stop")])
    made.submit(0, Job([1], 3))
    assert made.poll(0.0) == [Event(0, 5, "stop")]
    assert made.counters(0) == {}
    assert counters(10, [30]) == {"cycles": 20.0, "cycles_first_token": 20.0, "cycles_per_token": 20.0}


def test_the_host_chooses_by_submitting_again():
    made, link = device([Came(5, 1, "length")], [Came(6, 1, "length")])
    made.submit(1, Job([3, 4], 2, by_host=True))
    assert made.poll(0.0) == [Event(1, LOGITS)]
    assert made.poll(0.0) == ()  # nothing is asked of the link while all wait for the host
    assert made.choose(1, 30) is None
    assert made.poll(0.0) == [Event(1, LOGITS)]
    assert made.choose(1, 31) == "length"
    assert link.sent == [
        words.submit(1, [3, 4], 1, logits="chosen"),
        words.submit(1, [30], 1, start=2, logits="chosen"),
    ]


def test_a_cancel_waits_for_the_last_event_and_keeps_those_of_others():
    made, link = device([Came(5, 0, None), Came(6, 1, None)], [Came(7, 0, "cancelled")])
    for slot in (0, 1):
        made.submit(slot, Job([1], 9))
    made.cancel(0)
    assert link.sent[-1] == words.cancel(0)
    assert made.poll(0.0) == [Event(1, 6)]
    made.cancel(0)
    assert len(link.sent) == 3


def test_a_cancelled_job_of_the_host_takes_its_logits_along():
    made, link = device([Came(5, 0, "length")], [Came(5, 0, "length")])
    made.submit(0, Job([1], 9, by_host=True))
    made.cancel(0)
    assert link.shown == 1
    made.submit(0, Job([1], 9, by_host=True))
    assert made.poll(0.0) == [Event(0, LOGITS)]
    made.cancel(0)  # waits for the host: nothing is inside
    assert (link.sent[-1][0] >> 28, link.shown) == (1, 2)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Came(5, 3, None), "the accelerator gave a token of slot 3, which has no job"),
        (Came(0, 0, "rejected"), "the accelerator rejected a prompt for slot 0"),
    ],
)
def test_events_that_cannot_be(event, message):
    made, _ = device([event])
    made.submit(0, Job([1], 9))
    with pytest.raises(BackendFailed, match=f"^{message}$"):
        made.poll(0.0)


def test_close():
    made, link = device()
    made.submit(0, Job([1], 9))
    made.close()
    assert link.closed == 1
    assert made.poll(0.0) == ()
