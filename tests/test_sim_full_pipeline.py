"""Several slots at once: what counts as all of them at work, and what nodes did meanwhile."""

from __future__ import annotations

import pytest
from recorded import Recorded

from edgellm.errors import SimulationError
from edgellm.runtime.words import Event
from edgellm.sim import full_pipeline
from edgellm.sim.full_pipeline import Load
from edgellm.sim.spans import Pass


def events(slot: int, *cycles: int) -> list[Event]:
    return [Event(5, slot, "length" if cycle == cycles[-1] else None, cycle) for cycle in cycles]


def test_every_prompt_gets_a_slot_and_is_recorded_from_the_beginning() -> None:
    one, two = events(0, 10, 30), events(1, 20, 40)
    device = Recorded([], [[one[0]], [two[0], one[1]], [two[1]]])
    assert full_pipeline.run(device, [[1, 2], [3]], 9, {2}) == [one, two]
    assert device.asked == [("probe", True), (0, [1, 2], 9, {2}), (1, [3], 9, {2}), ("probe", False)]


def test_a_rejected_prompt() -> None:
    device = Recorded([], [[Event(0, 1, "rejected", 5)]])
    with pytest.raises(SimulationError, match=r"^the accelerator rejected the prompt of slot 1$"):
        full_pipeline.run(device, [[1], []], 9, ())


def test_the_time_in_which_all_slots_generate() -> None:
    trips = [Pass(k % 2, 4 + k // 4, k // 2 % 2, True) for k in range(12)]
    found = full_pipeline.measure(Recorded(trips), [events(0, 150, 400, 900), events(1, 350, 750, 1100)])
    assert found is not None
    assert (found.slots, found.first, found.last) == (2, 350, 900)
    assert (found.tokens, found.cycles_per_token) == (3, 550 / 3)  # at 400, 750 and 900


def test_vectors_keys_and_the_share_of_cycles_that_send() -> None:
    trips = [Pass(0, k, 0, False) for k in range(8)]
    found = full_pipeline.measure(Recorded(trips), [events(0, 121, 521)])
    assert found is not None
    # qkv_acc sends at 20 + 100 k for 4 cycles: the end of one vector, three whole ones, the beginning of another
    assert found.nodes["qkv_acc"] == Load(4, 2 + 3 + 4 + 5, (2 + 4 * 3 + 2) / 400)
    assert "final_norm" not in found.nodes


def test_the_picture_gets_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_pipeline, "SHOWN_SPANS", 3)
    trips = [Pass(0, k, 0, False) for k in range(8)]
    found = full_pipeline.measure(Recorded(trips), [events(0, 122, 600)])
    assert found is not None
    assert [(span.node, span.first) for span in found.spans] == [
        ("qkv_acc", 120),
        ("embed", 200),
        ("qkv_acc", 220),
    ]
    assert found.shown_until == 220


def test_answers_that_do_not_overlap() -> None:
    assert full_pipeline.measure(Recorded([]), [events(0, 10, 20), events(1, 30, 40)]) is None
