"""What was measured, and the file that keeps it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgellm import files
from edgellm._version import __version__
from edgellm.bench.plan import Case
from edgellm.errors import UsageError

FORMAT = 1
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one kind of latency, in microseconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        """From samples in seconds."""
        return cls(*(float(value) * 1e6 for value in np.percentile(seconds, (50, 90, 99))))


@dataclass(frozen=True, slots=True)
class Row:
    """One back end in one case. Shares are of the time from the first submission to the last token."""

    backend: str
    case: Case
    tag: str  # measured, or simulated with the clock that times are projected at
    ttft: Percentiles  # time to first token
    itl: Percentiles  # inter-token latency: a portion's gap to the one before, shared by its tokens
    tokens_per_second: Sequence[float]  # all prompts together; one value a repeat
    host: float | None = None  # share of the engine above the device's calls
    transfer: float | None = (
        None  # share inside the calls without cycles of the device; None where it counts none
    )
    device: float | None = None  # the rest
    cycles_per_token: float | None = None  # of one stream

    @property
    def key(self) -> tuple[str, Case]:
        """What makes rows of two runs comparable."""
        return self.backend, self.case

    @property
    def speed(self) -> float:
        """Median of the repeats."""
        return float(np.median(self.tokens_per_second))


@dataclass(frozen=True, slots=True)
class Result:
    """One run of `edgellm bench`."""

    model: str
    sha256: str  # of the integer ONNX file
    machine: Mapping[str, str]
    date: str
    rows: Sequence[Row]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"format": FORMAT, "edgellm": __version__, **dataclasses.asdict(self)}


def machine() -> dict[str, str]:
    """Kind of this machine, in words that name nobody's."""
    return {
        "processor": _processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str | None:
    """Its name as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, None)


def today() -> str:
    """Date of a run."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def write(result: Result, path: Path) -> None:
    """Keep a run as JSON."""
    files.write_text(path, json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Result:
    """A run from its file. UsageError for anything that is not one."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable result of edgellm bench ({error})") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise UsageError(f"{path}: not a result of this edgellm bench (format {FORMAT}): measure again")
    try:
        rows = [_row(entry) for entry in table["rows"]]
        return Result(table["model"], table["sha256"], table["machine"], table["date"], rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: a field is missing or wrong ({error}): measure again") from error


def _row(entry: Mapping[str, Any]) -> Row:
    latencies = {name: Percentiles(**entry[name]) for name in ("ttft", "itl")}
    return Row(**{**entry, "case": Case(**entry["case"]), **latencies})
