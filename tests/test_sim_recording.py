"""simulation.json: sections come back as they went in, and replace each other alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from studies import JUDGED, full_pipeline, one_prompt

from edgellm.errors import Deviation, SimulationError
from edgellm.sim import recording
from edgellm.sim.recording import Judgement, Recording

WHOLE = Recording(one_prompt(), full_pipeline(), JUDGED)


def test_round_trip(tmp_path: Path) -> None:
    recording.keep(tmp_path, WHOLE)
    assert recording.read(tmp_path) == WHOLE


def test_nothing_was_simulated(tmp_path: Path) -> None:
    assert recording.read(tmp_path) == Recording()


def test_a_section_replaces_itself_alone(tmp_path: Path) -> None:
    recording.keep(tmp_path, WHOLE)
    other = Judgement("other", True, message="a node gave no vector")
    recording.keep(tmp_path, Recording(judgement=other))
    assert recording.read(tmp_path) == Recording(WHOLE.one_prompt, WHOLE.full_pipeline, other)


def test_spans_are_short_in_the_file(tmp_path: Path) -> None:
    recording.keep(tmp_path, WHOLE)
    table = json.loads((tmp_path / "simulation.json").read_text())
    assert table["one_prompt"]["spans"][1] == ["qkv_acc", 0, 150, 249]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "one_prompt": {"a": 1}}'])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "simulation.json").write_text(text)
    with pytest.raises(
        SimulationError, match=r"simulation\.json: damaged \(.*\): remove it and simulate again$"
    ):
        recording.read(tmp_path)


def test_another_format(tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text('{"format": 2}')
    with pytest.raises(SimulationError, match=r"format 2, this edgellm reads 1: simulate again$"):
        recording.read(tmp_path)


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text("{")
    recording.keep(tmp_path, WHOLE)
    assert recording.read(tmp_path) == WHOLE


def test_a_deviation_keeps_its_address() -> None:
    found = recording.failure(Deviation("qkv", 12, None, 17, -5, 8))
    address = {"node": "qkv", "token": 12, "layer": None, "channel": 17, "expected": -5, "got": 8}
    assert found == {"message": "node qkv, token 12, channel 17: expected -5, got 8", "deviation": address}


def test_another_failure_has_its_message_alone() -> None:
    assert recording.failure(SimulationError("stuck")) == {"message": "stuck"}
