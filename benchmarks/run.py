"""Speed of this machine's back ends beside llama.cpp and llama2.c, and cycles of the simulated accelerator, in one run.

    python -m benchmarks.run [MODEL ...] [--llama2c PATH] [--repeats R] [--no-sim] [-o FILE]

Every number carries its tag: measured (on this machine, median of the repeats, interleaved), simulated (cycles from RTL),
projected (cycles at an assumed clock). Ratios are of medians of the same run. One thread everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import llama2c, llama_cpp, processes, speed
from edgellm import catalog, files
from edgellm.cli.common import table
from edgellm.numerics.model import Architecture
from edgellm.progress import track
from edgellm.runtime import registry
from edgellm.runtime.llm import LLM, load

ASSUMED_CLOCK_HZ = 200e6
SIM_TOKENS, SIM_MODEL = 24, "home-260k"
MODELS, OWN = ("home-260k", "home-1m"), ("cpu", "native")
TOKENS = 200  # of one stream
RESULTS = Path("benchmarks/results/latest.json")
SLOTS, SLOT_PROMPT, SLOT_TOKENS = 32, 16, 64
PREFILL, PREFIX = 64, 200
STARTS = 7
LLAMA_CPP, LLAMA2C = "llama.cpp Q8_0", "llama2.c float32"
Candidates = dict[str, Callable[[], float]]


def row(what: str, value: float, unit: str, tag: str, **more: Any) -> dict[str, Any]:
    """One number with its tag."""
    return {"what": what, "value": value, "unit": unit, "tag": tag, **more}


def simulated(model: str) -> list[dict[str, Any]]:
    """Cycles per token from RTL simulation, and what they would mean at the assumed clock."""
    with load(str(catalog.find(model)), "sim") as llm:
        done = llm.generate(speed.PROMPT, max_tokens=SIM_TOKENS)
    cycles = done.timings.device["cycles_per_token"]
    clock = f"{ASSUMED_CLOCK_HZ / 1e6:.0f} MHz assumed"
    return [
        row("accelerator, one stream", cycles, "cycles/token", "simulated", model=model),
        row(
            "accelerator, one stream",
            ASSUMED_CLOCK_HZ / cycles,
            "tokens/s",
            f"projected, {clock}",
            model=model,
        ),
    ]


def interleaved(candidates: Candidates, repeats: int) -> dict[str, float]:
    """Median of each candidate, measured turn by turn so that a busy machine hits all alike."""
    runs: dict[str, list[float]] = {name: [] for name in candidates}
    with track("Measuring", repeats * len(candidates)) as bar:
        for _ in range(repeats):
            for name, measure in candidates.items():
                runs[name].append(measure())
                bar.advance()
    return {name: statistics.median(values) for name, values in runs.items()}


def compared(what: str, model: str, candidates: Candidates, repeats: int) -> list[dict[str, Any]]:
    """Tokens a second of each, and what the own back ends make of each peer."""
    speeds = interleaved(candidates, repeats)
    rows = [
        row(f"{name}, {what}", value, "tokens/s", "measured", model=model) for name, value in speeds.items()
    ]
    own = [name for name in speeds if name in OWN]
    return rows + [
        row(f"{name} over {peer}, {what}", speeds[name] / speeds[peer], "ratio", "measured", model=model)
        for peer in speeds
        if peer not in OWN
        for name in own
    ]


def speeds(name: str, folder: Path, binary: Path | None, repeats: int) -> list[dict[str, Any]]:
    """Everything that is compared in tokens a second."""
    rng = np.random.default_rng(0)
    with contextlib.ExitStack() as stack:
        llms = {backend: stack.enter_context(load(str(folder), backend)) for backend in OWN}
        arch = Architecture(**llms["cpu"].manifest.arch)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one, many = _peers(arch, work)
        prompt = llms["cpu"].stream(speed.PROMPT).prompt_ids
        for llm in llms.values():  # sessions and pages
            for random in speed.prompts(arch.vocab, speed.WARM, PREFILL, rng):
                speed.prefill(llm, random)

        streams: Candidates = {
            backend: partial(speed.one_stream, llm, TOKENS) for backend, llm in llms.items()
        }
        batch: Candidates = {
            backend: lambda llm=llm: speed.together(  # type: ignore[misc]
                llm, speed.prompts(arch.vocab, SLOTS, SLOT_PROMPT, rng), SLOT_TOKENS
            )
            for backend, llm in llms.items()
        }
        fill: Candidates = {
            backend: lambda llm=llm: speed.prefill(llm, speed.prompts(arch.vocab, 1, PREFILL, rng)[0])  # type: ignore[misc]
            for backend, llm in llms.items()
        }
        if one and many:
            streams[LLAMA_CPP] = lambda: one.tokens_per_second(prompt, TOKENS)
            batch[LLAMA_CPP] = lambda: many.together(
                speed.prompts(arch.vocab, SLOTS, SLOT_PROMPT, rng), SLOT_TOKENS
            )
            fill[LLAMA_CPP] = lambda: one.prefill(speed.prompts(arch.vocab, 1, PREFILL, rng)[0])
        if binary:
            llama2c.write(arch, work)
            streams[LLAMA2C] = lambda: llama2c.tokens_per_second(binary, work, TOKENS)
        rows = compared("one stream", name, streams, repeats)
        rows += guessing(name, llms["cpu"], repeats)
        rows += compared(f"{SLOTS} streams", name, batch, repeats)
        rows += compared(f"prompt of {PREFILL}", name, fill, repeats)
        return rows + _engine(name, folder, llms, repeats)


def guessing(name: str, llm: LLM, repeats: int) -> list[dict[str, Any]]:
    """One stream of a back end that guesses tokens: its speed depends on the text, so it answers real commands."""
    what, commands = f"{llm.backend}, one stream, guessing", speed.commands()
    found = interleaved({what: partial(speed.guessing, llm, commands)}, repeats)
    return [row(what, found[what], "tokens/s", "measured", model=name)]


def _peers(arch: Architecture, work: Path) -> tuple[llama_cpp.Peer | None, llama_cpp.Peer | None]:
    if lacking := llama_cpp.missing():
        sys.stderr.write(f"llama.cpp left out: pip install {' '.join(lacking)}\n")
        return None, None
    path = work / "peer.gguf"
    llama_cpp.write_gguf(arch, path)
    return llama_cpp.Peer(path, 1, arch.context), llama_cpp.Peer(path, 1, arch.context, SLOTS)


def _engine(name: str, folder: Path, llms: dict[str, LLM], repeats: int) -> list[dict[str, Any]]:
    """What the engine costs on top of the device, and what its prefix cache saves."""
    rng, found = np.random.default_rng(1), []
    for backend, llm in llms.items():
        device, prompt = registry.get(backend).open(folder), llm.stream(speed.PROMPT).prompt_ids
        with contextlib.closing(device):
            got = interleaved(
                {
                    "bare": partial(speed.bare, device, prompt, TOKENS),
                    "engine": partial(speed.one_stream, llm, TOKENS),
                },
                repeats,
            )
        share = 100 * (got["bare"] / got["engine"] - 1)
        found.append(
            row(f"{backend}, engine on top of the device, one stream", share, "%", "measured", model=name)
        )
        vocab = llm.engine.device.arch.vocab
        times = [
            speed.behind_prefix(llm, speed.prompts(vocab, 1, PREFIX, rng)[0], rng) for _ in range(3 * repeats)
        ]
        cold, hit = (statistics.median(column) for column in zip(*times, strict=True))
        what = f"{backend}, first token behind a cached prefix of {PREFIX} over nothing cached"
        found.append(row(what, hit / cold, "ratio", "measured", model=name))
    return found


def whole_processes(name: str, folder: Path) -> list[dict[str, Any]]:
    """Cold starts and memory."""
    starts: Candidates = {}
    for backend in OWN:
        starts[f"{backend}, new process to first token"] = partial(
            processes.library_start, str(folder), backend
        )
        starts[f"{backend}, edgellm generate to first token"] = partial(
            processes.cli_start, str(folder), backend
        )
    for start in starts.values():  # bytecode and pages
        start()
    rows = [
        row(what, value, "s", "measured", model=name) for what, value in interleaved(starts, STARTS).items()
    ]
    return rows + [
        row(
            f"{backend}, resident memory",
            processes.memory(str(folder), backend),
            "MB",
            "measured",
            model=name,
        )
        for backend in OWN
    ]


def context() -> dict[str, Any]:
    """Where and when."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main() -> None:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--llama2c", type=Path, metavar="PATH", help="its program `run`, to be compared too")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-sim", action="store_true", help="leave the simulated accelerator out")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    binary = options.llama2c.resolve() if options.llama2c else None
    rows: list[dict[str, Any]] = []
    for name in options.models:
        folder = catalog.find(name)
        rows += speeds(name, folder, binary, options.repeats) + whole_processes(name, folder)
    if not options.no_sim:
        rows += simulated(SIM_MODEL)
    result = {**context(), "results": rows}
    files.write_text(options.output, json.dumps(result, indent=1) + "\n")
    cells = [(r["model"], r["what"], f"{r['value']:,.2f}", r["unit"], r["tag"]) for r in rows]
    print(table(["model", "what", "value", "unit", "tag"], cells))
    print(f"\n{options.output}")


if __name__ == "__main__":
    main()
