"""`edgellm compile`: a model folder to a design folder that simulates, and that Vivado can read.

Everything that can be refused is checked before any RTL is written. The design appears at once or not at all, depends
on nothing outside of its folder, and is the same bytes for the same input.
"""

# mypy: disallow-any-unimported=False
from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

from edgellm import files, manifest, progress
from edgellm._version import __version__
from edgellm.compiler import boards, budget, fit, mapping
from edgellm.compiler.boards import Board
from edgellm.compiler.budget import Goal
from edgellm.compiler.explain import Explanation, explain
from edgellm.compiler.folding import Folding, validate
from edgellm.errors import ModelNotFound
from edgellm.numerics import onnxfile
from edgellm.numerics.model import IntegerModel
from edgellm.sim.design import FORMAT

MODEL, GRAPH, LOG, FILES, DESIGN = "model.onnx", "finn.onnx", "finn.log", "files.f", "design.json"
FOLDING, CARD = "folding.json", "README.md"
TOOLS = ("finn-plus", "qonnx")  # whose versions decide what the RTL is
TOP = "top"
ANY = Goal()


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is to be compiled, already checked."""

    folder: Path
    name: str
    model: IntegerModel
    board: Board
    folding: Folding
    slots: int
    explanation: Explanation

    @property
    def sha256(self) -> str:
        """Digest of the model file."""
        return files.sha256(self.folder / MODEL)


def compile_model(
    model_dir: Path, board: str, out_dir: Path, folding: Folding | None = None, goal: Goal = ANY
) -> None:
    """Compile a model folder for a board into `out_dir`; an earlier design there is replaced at the very end.

    Without a folding the best one for the goal is searched.
    Raises BoardUnknown, BoardTooSmall, FoldingError, UnmappableNode, CompileError; ModelNotFound, ModelCorrupt,
    ModelUnsupported for the model; UsageError when `out_dir` holds anything else than a design.
    """
    files.check_replaceable(Path(out_dir), DESIGN, "a design of edgellm")
    with progress.track(f"Compiling for {board}", total=6) as bar:
        request = check(Path(model_dir), board, folding, goal)
        bar.advance()
        with files.new_directory(Path(out_dir), replace=True) as work:
            _copy_model(request, work)
            from edgellm.compiler import build  # FINN takes seconds to load: after the checks

            build.build(request, work, bar.advance)


def check(model_dir: Path, board_name: str, folding: Folding | None = None, goal: Goal = ANY) -> Request:
    """Everything that can go wrong with a model, a board or a folding, before anything is built."""
    board = boards.load(board_name)
    board = dataclasses.replace(board, clock_mhz=goal.clock_mhz or board.clock_mhz)
    path = model_dir / MODEL
    if not path.is_file():
        raise ModelNotFound(f"{model_dir}: no {MODEL} in it, so it is not a model folder")
    name = (
        manifest.read(model_dir).name if (model_dir / manifest.FILE).is_file() else model_dir.resolve().name
    )
    mapping.check(path)
    model = onnxfile.load(path)
    if folding is None:
        from edgellm.compiler import search  # the solver takes a second to load

        factors, told = search.search(model, board, goal)
    else:
        factors, told = folding, _given(model, name, board, folding, goal)
    return Request(model_dir, name, model, board, factors, told.slots, told)


def _given(model: IntegerModel, name: str, board: Board, folding: Folding, goal: Goal) -> Explanation:
    """What a folding from a file does, when it is legal and fits."""
    validate(folding, model.arch)
    slots = fit.slots_of(model, name, board, folding, (goal.slots,) if goal.slots else budget.SLOTS)
    design = budget.design_of(model, board, slots)
    return explain(design, folding, budget.capacity(board), goal.objective)


def _copy_model(request: Request, work: Path) -> None:
    """The files that the manifest names and the model's card, so that the design can be verified and talked to on its own."""
    target = work / "model"
    target.mkdir()
    names = [MODEL]
    if (request.folder / manifest.FILE).is_file():
        names = sorted({MODEL, manifest.FILE, *manifest.read(request.folder).files})
        names += [CARD] if (request.folder / CARD).is_file() else []
    for name in names:
        shutil.copyfile(request.folder / name, target / name)


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a design consists of: files to simulate, the shell around it, streams to watch, streams that lead back, instances of
    the top module."""

    sources: list[str]
    shell: dict[str, Any]
    probes: list[Any]
    edges: dict[str, str]
    cells: list[dict[str, str]]


def describe(request: Request, parts: Parts) -> str:
    """Content of design.json."""
    arch = request.model.arch
    design = {
        "format": FORMAT,
        "model": {"name": request.name, "sha256": request.sha256},
        "board": request.board.name,
        "part": request.board.part,
        "clock_mhz": request.board.clock_mhz,
        "slots": request.slots,
        "context": arch.context,
        "layers": arch.layers,
        "vocab": arch.vocab,
        "shown_beats": arch.vocab // request.folding("argmax") + 1,
        "top": TOP,
        "sources": parts.sources,
        "shell": parts.shell,
        "folding": request.folding.to_dict(),
        "back_edges": [[out, into] for out, into in parts.edges.items()],
        "probes": [dataclasses.asdict(probe) for probe in parts.probes],
        "cells": parts.cells,
        "tools": {"edgellm": __version__, **{name: importlib.metadata.version(name) for name in TOOLS}},
    }
    return json.dumps(design, indent=1) + "\n"
