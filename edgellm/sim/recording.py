"""What simulations of a design found, kept beside it for `edgellm report`: simulation.json.

A section for one prompt that had the pipeline to itself, one for all slots at once, one for the last verification. A
simulation replaces the sections that it is about; a new compile removes them all, as it replaces the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.errors import Deviation, SimulationError
from edgellm.sim import timeline
from edgellm.sim.full_pipeline import FullPipeline, Load
from edgellm.sim.spans import Span

FILE = "simulation.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class OnePrompt:
    """A prompt of `prompt_tokens` tokens alone in the pipeline: cycles, and the way of the token at `position`."""

    prompt_tokens: int
    generated: int
    cycles_first_token: float
    cycles_per_token: float
    position: int
    spans: list[timeline.Span]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The last comparison with the golden model: what was equal, or the first deviation, or why it ended otherwise."""

    prompt: str
    finn_core: bool  # FINN's own matrix core was simulated, not its stand-in
    tokens: int = 0
    nodes: int = 0
    vectors: int = 0
    values: int = 0
    deviation: dict[str, Any] | None = None  # the attributes of errors.Deviation
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """All sections of a design; None where nothing was simulated."""

    one_prompt: OnePrompt | None = None
    full_pipeline: FullPipeline | None = None
    judgement: Judgement | None = None


def failure(error: SimulationError) -> dict[str, Any]:
    """Fields of the Judgement of a verification that raised `error`."""
    if not isinstance(error, Deviation):
        return {"message": str(error)}
    names = ("node", "token", "layer", "channel", "expected", "got")
    return {"message": str(error), "deviation": {name: getattr(error, name) for name in names}}


def keep(folder: Path, new: Recording) -> None:
    """Write the sections of `new` over those of the design; a file that cannot be read is replaced."""
    known = Recording()
    with contextlib.suppress(SimulationError):
        known = read(folder)
    merged = Recording(
        new.one_prompt or known.one_prompt,
        new.full_pipeline or known.full_pipeline,
        new.judgement or known.judgement,
    )
    table = dataclasses.asdict(merged)
    for section in table.values():
        if section and "spans" in section:
            section["spans"] = [list(span.values()) for span in section["spans"]]
    files.write_text(Path(folder) / FILE, json.dumps({"format": FORMAT, **table}) + "\n")


def read(folder: Path) -> Recording:
    """The sections of a design, empty where there is no file. SimulationError when it is damaged."""
    path = Path(folder) / FILE
    try:
        table = json.loads(path.read_text("utf-8"))
        if table["format"] != FORMAT:
            raise SimulationError(
                f"{path}: format {table['format']}, this edgellm reads {FORMAT}: simulate again"
            )
        return Recording(
            _one_prompt(table["one_prompt"]),
            _full_pipeline(table["full_pipeline"]),
            Judgement(**table["judgement"]) if table["judgement"] else None,
        )
    except FileNotFoundError:
        return Recording()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SimulationError(
            f"{path}: damaged ({type(error).__name__}: {error}): remove it and simulate again"
        ) from error


def _one_prompt(table: dict[str, Any] | None) -> OnePrompt | None:
    if table is None:
        return None
    return OnePrompt(**{**table, "spans": [timeline.Span(*span) for span in table["spans"]]})


def _full_pipeline(table: dict[str, Any] | None) -> FullPipeline | None:
    if table is None:
        return None
    nodes = {node: Load(**load) for node, load in table["nodes"].items()}
    return FullPipeline(**{**table, "nodes": nodes, "spans": [Span(*span) for span in table["spans"]]})
