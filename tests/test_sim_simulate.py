"""Several prompts at once, on a device that plays back events; single prompts are tested end to end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from recorded import Recorded

from edgellm.errors import UsageError
from edgellm.runtime.words import Event
from edgellm.sim import recording, simulate
from edgellm.sim.simulate import Simulated, Together, simulate_together
from edgellm.sim.spans import Pass

SLOTS = 3


class Bench:
    """Prompts are their bytes, answers the hexadecimal numbers of their tokens."""

    def __init__(self, device: Recorded) -> None:
        self.device = SimpleNamespace(accelerator=device, design=device.design)
        self.tokenizer = SimpleNamespace(decode=lambda ids: " ".join(f"{i:x}" for i in ids))
        self.stops = frozenset({2})

    def ids(self, text: bytes) -> list[int]:
        return list(text)

    def limit(self, max_tokens: int | None) -> int:
        return max_tokens or 99


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Answers for three slots of two tokens each, all of them between cycles 150 and 300."""
    trips = [Pass(k % SLOTS, 5, k // SLOTS, True) for k in range(2 * SLOTS)]
    begin = [Event(10 + slot, slot, None, 150 + slot) for slot in range(SLOTS)]
    end = [Event(2 if slot else 20, slot, "stop" if slot else "length", 300 + slot) for slot in range(SLOTS)]
    made = Recorded(trips, [begin, end], SLOTS)
    monkeypatch.setattr(simulate.designs, "load", lambda folder: made.design)
    monkeypatch.setattr(simulate, "_open", lambda folder, finn_core: Bench(made))
    return made


def test_prompts_repeat_until_every_slot_has_one(device: Recorded, tmp_path: Path) -> None:
    done = simulate_together(tmp_path, [b"a", b"bc"], 7, fill=True)
    assert device.asked[1:-1] == [(0, [97], 7, {2}), (1, [98, 99], 7, {2}), (2, [97], 7, {2})]
    assert [(a.text, a.tokens, a.finish_reason) for a in done.answers] == [
        ("a 14", [10, 20], "length"),
        ("b", [11], "stop"),
        ("c", [12], "stop"),
    ]
    assert done.answers[1].cycles == {"cycles": 301, "cycles_first_token": 151, "cycles_per_token": 150}


def test_the_full_pipeline_is_kept_for_the_report(device: Recorded, tmp_path: Path) -> None:
    done = simulate_together(tmp_path, [b"a", b"b", b"c"], None, fill=False)
    kept = recording.read(tmp_path).full_pipeline
    assert kept is not None
    assert (kept.slots, kept.first, kept.last, kept.tokens) == (3, 152, 300, 1)
    assert done.cycles_per_token == kept.cycles_per_token == 148
    assert str(done).splitlines()[-1] == "[sim: 148 cycles/token with 3 of 3 slots busy (simulated)]"


def test_more_prompts_than_slots(device: Recorded, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^4 prompts at once: the design has 3 slots, give at most as many$"
    ):
        simulate_together(tmp_path, [b"a"] * 4, None, fill=False)


def test_answers_that_never_overlap_leave_nothing(device: Recorded, tmp_path: Path) -> None:
    device.batches = [
        [Event(5, slot, "length", 100 * slot)] for slot in range(SLOTS)
    ]  # one ends where the next begins
    done = simulate_together(tmp_path, [b"a"], 1, fill=True)
    assert done.cycles_per_token is None
    assert not (tmp_path / "simulation.json").exists()


def test_text_of_answers_that_never_overlap() -> None:
    one = Simulated("on", [5], "length", {"cycles_first_token": 9.0, "cycles_per_token": 9.0}, None)
    assert str(Together([one], 4, None)).splitlines() == [
        "on",
        "[sim: 1 tokens, length, 9 cycles to the first, 9 cycles/token (simulated)]",
        "[sim: no time in which all slots generated: take prompts of similar lengths]",
    ]
