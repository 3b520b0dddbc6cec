"""Whether a process is stuck: silence, an engine that stands still."""

import pytest

from edgellm.serve.workers.pulse import Patience, Pulse

PATIENCE = Patience(beat=0.5, silence=2.0, hang=3.0)


def test_silence():
    pulse = Pulse(PATIENCE)
    for _ in range(10):
        for _ in range(4):
            assert pulse.beat() is None
        pulse.heard()
    for _ in range(4):
        assert pulse.beat() is None
    assert pulse.beat() == "it said nothing for 2 s"


@pytest.mark.parametrize(("running", "turns", "stuck"), [(1, 7, True), (0, 7, False), (1, None, False)])
def test_an_engine_that_stands_still_with_answers_in_slots(running, turns, stuck):
    pulse = Pulse(PATIENCE)
    for number in range(7):
        assert pulse.beat() is None
        pulse.heard()
        pulse.told(running, number if turns is None else turns)
    assert pulse.beat() == ("its engine stood still for 3 s" if stuck else None)


def test_a_round_between_is_enough():
    pulse = Pulse(PATIENCE)
    for number in range(40):
        assert pulse.beat() is None
        pulse.heard()
        pulse.told(1, number // 5)
