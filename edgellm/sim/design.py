"""A compiled design folder: what `edgellm compile` wrote and the simulator, the verifier and the report read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.errors import SimulationError

FILE, MODEL = "design.json", "model"
FORMAT = 3
STAND_IN, FINN_CORE = (
    "sim/mvu.sv",
    "rtl/mvu.sv",
)  # the same beats in the same cycles (tests/test_rtl_finn_mvu.py)


@dataclass(frozen=True, slots=True)
class Probe:
    """One observed stream: vectors of `elements` values, `lanes` a beat of `bits` bits each."""

    id: int
    node: str
    op: str
    tensor: str
    tap: str | None  # the tensor of docs/numerics.md that it carries, if any
    lanes: int
    bits: int
    signed: bool
    elements: int
    order: str | None  # "interleaved": gate and up channels alternate

    @property
    def beats(self) -> int:
        """Beats of one vector."""
        return self.elements // self.lanes


@dataclass(frozen=True, slots=True)
class Cell:
    """One instance of the top module: its module, and the report's row that holds its cost."""

    module: str
    row: str


@dataclass(frozen=True, slots=True)
class Shell:
    """The AXI shell around the top module (docs/hardware.md)."""

    module: str
    build: int  # 32 bits that name the design, in the BUILD register
    sources: tuple[str, ...]  # what it needs beside the sources of the top module


@dataclass(frozen=True, slots=True)
class Design:
    """An accelerator for one model on one board, as plain files in `folder`."""

    folder: Path
    model: dict[str, str]
    board: str
    part: str
    clock_mhz: float
    slots: int
    context: int
    vocab: int
    shown_beats: int  # of one vector of logits, its tag before it
    layers: int
    top: str
    sources: tuple[str, ...]
    shell: Shell
    probes: tuple[Probe, ...]
    cells: tuple[Cell, ...]

    def source_files(self, finn_core: bool = False) -> list[Path]:
        """RTL in compile order. With `finn_core` the core of the matrix units is FINN's own, not its quicker stand-in."""
        names = (FINN_CORE if finn_core and name == STAND_IN else name for name in self.sources)
        return [self.folder / name for name in names]

    def shell_files(self, finn_core: bool = False) -> list[Path]:
        """RTL of the accelerator with its AXI shell, in compile order."""
        return [*self.source_files(finn_core), *(self.folder / name for name in self.shell.sources)]

    @property
    def model_folder(self) -> Path:
        return self.folder / MODEL


def load(folder: Path) -> Design:
    """Read a design folder; SimulationError when it is none or damaged."""
    path = Path(folder) / FILE
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise SimulationError(
                f"{path}: format {data['format']}, this edgellm reads {FORMAT}: compile the model again"
            )
        probes = tuple(Probe(**probe) for probe in data["probes"])
        cells = tuple(Cell(**cell) for cell in data["cells"])
        shell = Shell(**{**data["shell"], "sources": tuple(data["shell"]["sources"])})
        lists: dict[str, Any] = {"probes": probes, "cells": cells, "sources": tuple(data["sources"])}
        lists["shell"] = shell
        known = {field.name for field in dataclasses.fields(Design)} - {"folder", *lists}
        return Design(Path(folder), **lists, **{key: data[key] for key in known})
    except (FileNotFoundError, NotADirectoryError):
        raise SimulationError(
            f"{folder}: no {FILE} in it, so it is not a design: run `edgellm compile` to make one"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise SimulationError(
            f"{path}: damaged ({type(error).__name__}: {error}): compile the model again"
        ) from error
