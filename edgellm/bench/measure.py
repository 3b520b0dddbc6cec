"""Run the cases on back ends, in turn, so that a machine that is busy for a while harms all alike."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from edgellm import files, manifest, progress
from edgellm.bench import results
from edgellm.bench.plan import Case, Plan
from edgellm.bench.results import Percentiles, Result, Row
from edgellm.bench.stopwatch import TimedDevice
from edgellm.errors import UsageError
from edgellm.runtime.device import MODEL_FILE, Job
from edgellm.runtime.engine import Answer, Engine, Request
from edgellm.runtime.registry import Backend

SEED = 20_261
SIMULATORS = ("sim",)  # their wall clock says nothing about what they simulate


@dataclass(slots=True)
class Samples:
    """What the repeats of one case gave, in seconds."""

    ttft: list[float] = field(default_factory=list)
    itl: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    wall: float = 0.0
    calls: float = 0.0  # inside the device's calls
    device: float = 0.0  # that the device counted itself, in cycles
    per_token: list[float] = field(default_factory=list)  # cycles between tokens of one stream


class Bench:
    """One back end under measurement. Use as a context manager."""

    def __init__(self, backend: Backend, model: Path) -> None:
        self.device = TimedDevice(backend.open(model))
        self._engine = Engine([lambda: self.device])
        self._samples: dict[Case, Samples] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    @property
    def simulated(self) -> bool:
        """Whether only cycles count here."""
        return self.device.name in SIMULATORS

    @property
    def tag(self) -> str:
        """Of its numbers."""
        clock = self.device.traits.clock_hz or 0.0
        return f"simulated, projected at {clock / 1e6:g} MHz" if self.simulated else results.MEASURED

    def run(self, case: Case, keep: bool = True) -> None:
        """Once through one case, the caches empty; without `keep` only to warm up."""
        traits = self.device.traits
        if traits.clock_hz and case.batch > traits.slots:
            raise UsageError(
                f"--batch {case.batch}: {self.device.name} has {traits.slots} slots, and its cycles are told "
                "for prompts that run at the same time"
            )
        self._engine.clear_cache()
        requests = [Request(Job(prompt, case.tokens)) for prompt in prompts(case, self.device.arch.vocab)]
        self.device.restart()
        start = time.perf_counter()
        answers = [self._engine.submit(request) for request in requests]
        gaps = self._follow(answers, start)
        wall = time.perf_counter() - start
        if keep:
            self._note(self._samples.setdefault(case, Samples()), answers, gaps, wall)

    def _follow(self, answers: Sequence[Answer], start: float) -> list[float]:
        """Turn the wheel to the end; the latency of every token behind the first portion of its answer."""
        gaps: list[float] = []
        seen, last = [0] * len(answers), [start] * len(answers)
        while not all(answer.done for answer in answers):
            self._engine.pump()
            now = time.perf_counter()
            for index, answer in enumerate(answers):
                if new := len(answer.tokens) - seen[index]:
                    gaps += [(now - last[index]) / new] * (new if seen[index] else 0)
                    seen[index], last[index] = len(answer.tokens), now
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return gaps

    def _note(self, kept: Samples, answers: Sequence[Answer], gaps: list[float], wall: float) -> None:
        counted = [answer.counters for answer in answers if "cycles" in answer.counters]
        clock = self.device.traits.clock_hz or 0.0
        longest = max(counters["cycles"] for counters in counted) / clock if clock and counted else 0.0
        kept.per_token += [counters["cycles_per_token"] for counters in counted]
        kept.device += longest  # all were submitted at once
        if self.simulated:
            kept.ttft += [counters["cycles_first_token"] / clock for counters in counted]
            kept.itl += [counters["cycles_per_token"] / clock for counters in counted]
            wall = longest
        else:
            kept.ttft += [answer.first_token or 0.0 for answer in answers]
            kept.itl += gaps
        kept.wall += wall
        kept.calls += longest if self.simulated else self.device.seconds
        kept.speeds.append(sum(len(answer.tokens) for answer in answers) / wall)

    def row(self, case: Case) -> Row:
        """What the repeats of a case came to."""
        kept = self._samples[case]
        counted = kept.device / kept.wall if kept.device else None
        calls = kept.calls / kept.wall
        return Row(
            self.device.name,
            case,
            self.tag,
            Percentiles.of(kept.ttft),
            Percentiles.of(kept.itl or [0.0]),
            kept.speeds,
            host=1 - calls,
            transfer=None if counted is None else max(0.0, calls - counted),
            device=calls if counted is None else min(calls, counted),
            cycles_per_token=sum(kept.per_token) / len(kept.per_token) if kept.per_token else None,
        )


def prompts(case: Case, vocab: int) -> list[list[int]]:
    """Random tokens, the same in every run; no two prompts begin alike, so that no prefix is shared."""
    rng = random.Random(f"{SEED} {case}")
    drawn = [[rng.randrange(vocab) for _ in range(case.prompt)] for _ in range(case.batch)]
    for index, prompt in enumerate(drawn):
        prompt[0] = index % vocab
    return drawn


def measure(model: Path, backends: Sequence[Backend], plan: Plan) -> Result:
    """All cases on all back ends. Raises: UsageError, BackendUnavailable, BackendFailed."""
    about = manifest.read(model)
    cases = list(plan.cases(about.context))
    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(backend, model)) for backend in backends]
        _run(benches, cases, plan.repeats)
        rows = [bench.row(case) for case in cases for bench in benches]
    return Result(about.name, files.sha256(model / MODEL_FILE), results.machine(), results.today(), rows)


def _run(benches: Sequence[Bench], cases: Sequence[Case], repeats: int) -> None:
    """Warm up, then every case in turn; a simulation gives the same cycles every time, so it runs once."""
    with progress.track("Measuring", len(cases) * len(benches) * (repeats + 1)) as bar:
        for repeat in range(repeats + 1):
            for case in cases:
                for bench in benches:
                    if repeat == 0 or not bench.simulated:
                        bench.run(case, keep=bench.simulated or repeat > 0)
                    bar.advance()
