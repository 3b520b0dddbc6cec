"""Reading a design folder for its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import studies

from edgellm.errors import CompileError, SimulationError
from edgellm.report import study
from edgellm.sim.recording import Recording


def test_a_design_that_was_not_simulated(tmp_path: Path) -> None:
    found = study.load(studies.write(tmp_path))
    assert found.report == studies.report()
    assert (found.recording, found.clock_hz, found.counted) == (Recording(), 1e8, None)


def test_who_counted(tmp_path: Path) -> None:
    assert studies.study(counted=True).counted == "Yosys"


def test_no_design(tmp_path: Path) -> None:
    with pytest.raises(
        CompileError, match=r"report\.json: not a readable report .*: compile the model again$"
    ):
        study.load(tmp_path)


@pytest.mark.parametrize("field", ["model", "nodes", "board"])
def test_a_report_without_a_field(tmp_path: Path, field: str) -> None:
    table = {name: value for name, value in studies.report().items() if name != field}
    (tmp_path / "report.json").write_text(json.dumps(table))
    with pytest.raises(CompileError, match=rf"report\.json: no field '{field}': compile the model again$"):
        study.load(tmp_path)


def test_a_damaged_recording(tmp_path: Path) -> None:
    (studies.write(tmp_path) / "simulation.json").write_text("{")
    with pytest.raises(SimulationError, match="remove it and simulate again"):
        study.load(tmp_path)
