"""`edgellm simulate`: one prompt on a compiled design, judged if asked, and what was measured put into the design's report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import manifest, prompt
from edgellm.compiler import report
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime.backends.base import MODEL_FILE
from edgellm.sim import picture, timeline
from edgellm.sim.session import SimulatedSession, device_timings
from edgellm.sim.verify import Verification, verify
from edgellm.tokenizer import Tokenizer

PICTURE = "timeline.png"


@dataclass(frozen=True, slots=True)
class Simulated:
    """An answer of the simulated accelerator. `cycles` as in `SimulatedSession.timings`; `verified` counts what was compared."""

    text: str
    tokens: list[int]
    finish_reason: str
    cycles: dict[str, float]
    verified: dict[str, int] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [
            self.text,
            f"[sim: {len(self.tokens)} tokens, {self.finish_reason}, "
            f"{self.cycles['cycles_first_token']:,.0f} cycles to the first, "
            f"{self.cycles['cycles_per_token']:,.0f} cycles/token (simulated)]",
        ]
        if self.verified is not None:
            lines.append(
                "verified: {vectors:,} vectors ({values:,} values) of {nodes} nodes equal the golden model".format(
                    **self.verified
                )
            )
        return "\n".join(lines)


def simulate(
    folder: Path, text: str | bytes, max_tokens: int | None, judge: bool, finn_core: bool = False
) -> Simulated:
    """Run `text` on the design in `folder`; with `finn_core` around FINN's own matrix core (a much longer build).

    Raises Deviation (when `judge`), Deadlock, PromptError, SimulationError (not a design), BackendUnavailable.
    """
    session = SimulatedSession(folder, finn_core)
    model = session.design.model_folder
    described = manifest.read(model)
    tokenizer = Tokenizer.from_file(model / "tokenizer.json")
    rules = described.prompt
    ids = prompt.prepare(text, tokenizer, rules.template, rules.normalise, described.context)
    limit, stops = max_tokens or described.context + 1, frozenset(described.stop_ids)
    result = _judged(session, model, ids, limit, stops) if judge else _plain(session, ids, limit, stops)
    _report(session, ids, len(result.tokens), folder)
    return dataclasses.replace(result, text=tokenizer.decode(result.tokens))


def _judged(
    session: SimulatedSession, model: Path, ids: list[int], limit: int, stops: frozenset[int]
) -> Simulated:
    device = session.open_device()
    start = device.cycle
    done: Verification = verify(device, GoldenModel(onnxfile.load(model / MODEL_FILE)), ids, limit, stops)
    counts = {"nodes": done.nodes, "vectors": done.vectors, "values": done.values}
    return Simulated("", done.tokens, done.finish_reason, device_timings(start, done.events), counts)


def _plain(session: SimulatedSession, ids: list[int], limit: int, stops: frozenset[int]) -> Simulated:
    session.open_device().probe(True)
    tokens = list(session.stream(ids, limit, stops))
    return Simulated("", tokens, session.finish_reason, dict(session.timings), None)


def _report(session: SimulatedSession, ids: list[int], generated: int, folder: Path) -> None:
    """Measured cycles into report.json and report.txt, and the picture of one token that was alone in the pipeline."""
    device = session.open_device()
    device.probe(False)
    report.write(folder, timeline.output_cycles(device))
    position = (
        len(ids) - 1 + min(generated - 1, 1) if generated else len(ids) - 1
    )  # prompt tokens share the pipeline
    spans = timeline.of_token(device, position, len(ids))
    title = f"{session.design.model['name']} on {session.design.board}, token at position {position}"
    picture.draw(spans, title, folder / PICTURE)
