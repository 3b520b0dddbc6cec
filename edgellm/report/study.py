"""What is known about a design: its report.json, and its simulation.json where something was simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.compiler import report
from edgellm.errors import CompileError
from edgellm.sim import recording
from edgellm.sim.recording import Recording

FIELDS = ("model", "slots", "nodes", "totals", "board", "cycles")
Row = Mapping[str, Any]  # of report.json


@dataclass(frozen=True, slots=True)
class Study:
    """The facts that every part of the page is made from."""

    report: Mapping[str, Any]
    recording: Recording

    @property
    def rows(self) -> Sequence[Row]:
        return self.report["nodes"]  # type: ignore[no-any-return]

    @property
    def board(self) -> Mapping[str, Any]:
        return self.report["board"]  # type: ignore[no-any-return]

    @property
    def clock_hz(self) -> float:
        """Assumed, not met by anyone."""
        return float(self.board["clock_mhz"]) * 1e6

    @property
    def counted(self) -> str | None:
        """Which tool counted the resources of some nodes, beside the estimates."""
        return next((row["counted"]["source"] for row in self.rows if row.get("counted")), None)


def load(folder: Path) -> Study:
    """Read a design folder. Raises CompileError and SimulationError for what is missing or damaged."""
    found = report.load(folder)
    missing = [name for name in FIELDS if name not in found]
    if missing:
        raise CompileError(f"{folder / report.JSON}: no field {missing[0]!r}: compile the model again")
    return Study(found, recording.read(folder))
