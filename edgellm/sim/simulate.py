"""`edgellm simulate`: prompts on a compiled design, one judged if asked, and what was measured put into the design's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from edgellm import manifest, prompt
from edgellm.compiler import report
from edgellm.errors import SimulationError, UsageError
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime.backends.streamed import counters
from edgellm.runtime.device import MODEL_FILE, Job
from edgellm.runtime.engine import Engine, Request
from edgellm.runtime.words import Event
from edgellm.sim import design as designs
from edgellm.sim import full_pipeline, picture, recording, timeline
from edgellm.sim.device import SimulatedDevice
from edgellm.sim.recording import Judgement, OnePrompt, Recording
from edgellm.sim.verify import Verification, verify
from edgellm.tokenizer import Tokenizer

PICTURE = "timeline.png"


@dataclass(frozen=True, slots=True)
class Simulated:
    """An answer of the simulated accelerator. `cycles`: counters of `SimulatedDevice`; `verified`: what was compared."""

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


@dataclass(frozen=True, slots=True)
class Together:
    """Answers of several slots at once; `cycles_per_token` while all of them generated, None when they never did."""

    answers: list[Simulated]
    slots: int
    cycles_per_token: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [str(answer) for answer in self.answers]
        if self.cycles_per_token is None:
            return "\n".join(
                [*lines, "[sim: no time in which all slots generated: take prompts of similar lengths]"]
            )
        rate = f"{self.cycles_per_token:,.0f} cycles/token with {len(lines)} of {self.slots} slots busy (simulated)"
        return "\n".join([*lines, f"[sim: {rate}]"])


@dataclass(frozen=True, slots=True)
class _Bench:
    """An open design, and what its model says about text."""

    device: SimulatedDevice
    model: Path
    described: manifest.Manifest
    tokenizer: Tokenizer

    def ids(self, text: str | bytes) -> list[int]:
        """Token ids of a prompt in the model's template."""
        return prompt.prepare(text, self.tokenizer, self.described.prompt, self.described.context)

    def limit(self, max_tokens: int | None) -> int:
        """More tokens than the context takes, where the user set no limit."""
        return max_tokens or self.described.context + 1

    @property
    def stops(self) -> frozenset[int]:
        return frozenset(self.described.stop_ids)


def _open(folder: Path, finn_core: bool) -> _Bench:
    device = SimulatedDevice(folder, finn_core)
    model = device.design.model_folder
    return _Bench(device, model, manifest.read(model), Tokenizer.from_file(model / "tokenizer.json"))


def simulate(
    folder: Path, text: str | bytes, max_tokens: int | None, judge: bool, finn_core: bool = False
) -> Simulated:
    """Run `text` on the design in `folder`; with `finn_core` around FINN's own matrix core (a much longer build).

    Raises Deviation (when `judge`), Deadlock, PromptError, SimulationError (not a design), BackendUnavailable.
    """
    bench = _open(folder, finn_core)
    ids, limit = bench.ids(text), bench.limit(max_tokens)
    if judge:
        result = _judged(bench, ids, limit, Judgement(_shown(text), finn_core))
    else:
        result = _plain(bench.device, ids, limit, bench.stops)
    _report(bench.device, ids, result, folder)
    return dataclasses.replace(result, text=bench.tokenizer.decode(result.tokens))


def simulate_together(
    folder: Path, texts: Sequence[str | bytes], max_tokens: int | None, fill: bool, finn_core: bool = False
) -> Together:
    """Run several texts at once, a slot each; with `fill` they repeat until every slot has one.

    Raises UsageError for more texts than slots, and what `simulate` raises.
    """
    slots = designs.load(folder).slots
    if len(texts) > slots:
        raise UsageError(f"{len(texts)} prompts at once: the design has {slots} slots, give at most as many")
    bench = _open(folder, finn_core)
    device, prompts = bench.device.accelerator, [bench.ids(text) for text in texts]
    if fill:
        prompts = list(islice(cycle(prompts), slots))
    start = device.cycle
    events = full_pipeline.run(device, prompts, bench.limit(max_tokens), bench.stops)
    answers = [_answer(bench.tokenizer, start, own) for own in events]
    found = full_pipeline.measure(device, events)
    if found is not None:
        recording.keep(folder, Recording(full_pipeline=found))
    return Together(answers, slots, found.cycles_per_token if found else None)


def _answer(tokenizer: Tokenizer, start: int, events: Sequence[Event]) -> Simulated:
    tokens = [event.token for event in events if event.reason != "stop"]
    timings = counters(start, [event.cycle for event in events])
    return Simulated(tokenizer.decode(tokens), tokens, events[-1].reason or "", timings, None)


def _shown(text: str | bytes) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _judged(bench: _Bench, ids: list[int], limit: int, judgement: Judgement) -> Simulated:
    """Run and compare; either way the design's folder learns how it went."""
    device, folder = bench.device.accelerator, bench.device.design.folder
    start = device.cycle
    golden = GoldenModel(onnxfile.load(bench.model / MODEL_FILE))
    try:
        done: Verification = verify(device, golden, ids, limit, bench.stops)
    except SimulationError as error:
        failed = dataclasses.replace(judgement, **recording.failure(error))
        recording.keep(folder, Recording(judgement=failed))
        raise
    nodes, vectors, values = done.nodes, done.vectors, done.values
    passed = dataclasses.replace(
        judgement, tokens=len(done.tokens), nodes=nodes, vectors=vectors, values=values
    )
    recording.keep(folder, Recording(judgement=passed))
    counts = {"nodes": nodes, "vectors": vectors, "values": values}
    return Simulated(
        "", done.tokens, done.finish_reason, counters(start, [event.cycle for event in done.events]), counts
    )


def _plain(device: SimulatedDevice, ids: list[int], limit: int, stops: frozenset[int]) -> Simulated:
    device.accelerator.probe(True)
    engine = Engine([lambda: device])
    answer = engine.submit(Request(Job(ids, limit, stops)))
    for _ in engine.tokens(answer):
        pass
    return Simulated("", answer.tokens, str(answer.finish_reason), dict(answer.counters), None)


def _report(simulated: SimulatedDevice, ids: list[int], result: Simulated, folder: Path) -> None:
    """Measured cycles, and the way of one token that was alone in the pipeline: for the reports, and as a picture."""
    device, generated = simulated.accelerator, len(result.tokens)
    device.probe(False)
    report.write(folder, timeline.output_cycles(device))
    position = (
        len(ids) - 1 + min(generated - 1, 1) if generated else len(ids) - 1
    )  # prompt tokens share the pipeline
    spans = timeline.of_token(device, position, len(ids))
    first, each = result.cycles["cycles_first_token"], result.cycles["cycles_per_token"]
    recording.keep(folder, Recording(one_prompt=OnePrompt(len(ids), generated, first, each, position, spans)))
    title = f"{simulated.design.model['name']} on {simulated.design.board}, token at position {position}"
    picture.draw(spans, title, folder / PICTURE)
