"""What an evaluation leaves in a folder: metrics.json, confusion.png, errors.tsv; each file whole or not there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm._version import __version__
from edgellm.evaluation import picture, scores
from edgellm.evaluation.measure import SetReport

METRICS, CONFUSION, ERRORS = "metrics.json", "confusion.png", "errors.tsv"
HEADER = ("set", "line", "wrong", "prompt", "expected", "got")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything about one run of `edgellm eval`."""

    model: str
    backend: str
    reports: Mapping[str, SetReport]
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        sets = {name: report.to_dict() for name, report in self.reports.items()}
        about = {"model": self.model, "backend": self.backend, "edgellm": __version__}
        return about | {"notes": list(self.notes), "sets": sets}


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write the files into `folder`, metrics.json last; other files in it stay. The picture only if a set has intents."""
    files.write_text(folder / ERRORS, "".join("\t".join(row) + "\n" for row in _rows(evaluation.reports)))
    commands = [report for report in evaluation.reports.values() if report.chosen.commands]
    if commands:
        pairs = sum((scores.confusions(report.outcomes) for report in commands), Counter[tuple[str, str]]())
        names = ", ".join(report.chosen.label for report in commands)
        picture.draw(pairs, f"{evaluation.model} on {evaluation.backend}: {names}", folder / CONFUSION)
    files.write_text(folder / METRICS, json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _rows(reports: Mapping[str, SetReport]) -> Iterator[Sequence[str]]:
    """The header and every wrong line; tabs, line ends and backslashes inside a value are escaped as in Python."""
    yield HEADER
    for name, report in reports.items():
        for outcome in report.outcomes:
            if wrong := outcome.wrong:
                texts = (outcome.case.prompt, outcome.expected, outcome.got)
                yield name, str(outcome.case.number), wrong, *(text.translate(_ESCAPES) for text in texts)
