"""The part of `edgellm compile` that runs FINN: graph, passes, RTL, stitched top, report."""

# mypy: disallow-any-unimported=False
from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finn.util import settings as finn_settings

from edgellm import files
from edgellm.compiler import budget, handoff, inventory, passes, report, shell, sources, stitch
from edgellm.compiler.compile import DESIGN, FILES, FOLDING, GRAPH, LOG, TOP, Parts, Request, describe
from edgellm.compiler.lowering import BACK_EDGES, Lowering, lower
from edgellm.compiler.probes import probes
from edgellm.compiler.shell import Shell
from edgellm.numerics import sampling

PLACES = ("code_gen_dir_ipgen", "ipgen_path", "ip_path")  # attributes that hold paths of the build


def build(request: Request, work: Path, advance: Callable[[], None]) -> None:
    """Fill the design folder `work`; `advance` is called after each of five steps."""
    part, clock = request.board.part, request.board.clock_ns
    ultra = request.board.uram > 0
    with _finn(work / LOG):
        step_bits = sampling.step_bits_of(request.model.logit_step)
        graph = lower(
            Lowering(request.model, request.folding, request.slots, budget.TOKENS, ultra, step_bits)
        )
        graph = passes.specialise(graph, part)
        advance()
        graph = passes.connect(graph, part, request.folding.fifos)
        advance()
        graph = passes.generate(graph, part, clock)
        advance()
        synthesis, simulation = sources.collect(graph, work)
    advance()
    watched, edges = probes(graph), json.loads(graph.get_metadata_prop(BACK_EDGES))
    top = stitch.stitch(graph, edges, [probe.tensor for probe in watched], TOP)
    files.write_text(work / sources.TOP, top)
    files.write_text(work / FILES, "\n".join(synthesis) + "\n")
    around = _shell(request, work, synthesis)
    cells = [{"module": stitch.module(node), "row": inventory.row_name(node)} for node in graph.graph.node]
    files.write_text(work / DESIGN, describe(request, Parts(simulation, around, watched, edges, cells)))
    request.folding.save(work / FOLDING)
    arch = request.model.arch
    table = inventory.report(graph, request.name, request.board, request.folding, request.slots, arch)
    report.save(work, {**table, "search": request.explanation.to_dict()})
    _forget_places(graph)
    graph.save(str(work / GRAPH))
    advance()


def _shell(request: Request, work: Path, synthesis: list[str]) -> dict[str, Any]:
    """Write what a host needs around the top module; its section of design.json."""
    added = sources.add_library(work, shell.INTERFACE)
    memories = [f"{sources.MEMORY}/{path.name}" for path in (work / sources.MEMORY).iterdir()]
    number = handoff.build_of(work, [*synthesis, *added, *memories], request.sha256)
    lanes = request.folding("argmax")
    about = Shell(request.model.arch.vocab, lanes, request.slots, number)
    handoff.write(work, TOP, about, request.board)
    return {"module": shell.MODULE, "build": number, "sources": [*added, shell.FILE]}


def _forget_places(graph: Any) -> None:
    """The build folder is gone when the design is used: nothing may point there."""
    for node in graph.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name not in PLACES]
        del node.attribute[:]
        node.attribute.extend(kept)


@contextlib.contextmanager
def _finn(log: Path) -> Iterator[None]:
    """FINN with a build folder that vanishes, its messages in a file."""
    with (
        tempfile.TemporaryDirectory(prefix="edgellm-finn-") as folder,
        log.open("w", encoding="utf-8") as file,
        _settings(folder),
        _quiet(file),
    ):
        yield


@contextlib.contextmanager
def _settings(folder: str) -> Iterator[None]:
    """FINN's global settings, made once from the environment, with another build folder for a while."""
    os.environ.setdefault("FINN_BUILD_DIR", folder)
    settings = finn_settings.get_settings()
    before = settings.finn_build_dir
    settings.finn_build_dir = Path(folder)
    try:
        yield
    finally:
        settings.finn_build_dir = before


@contextlib.contextmanager
def _quiet(file: Any) -> Iterator[None]:
    """Send what FINN prints and logs to `file`."""
    logger, handler = logging.getLogger("finn_logger"), logging.StreamHandler(file)
    before = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [handler], False
    try:
        with contextlib.redirect_stdout(file):
            yield
    finally:
        logger.handlers[:], logger.propagate = before
