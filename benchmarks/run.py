"""Cycles per token of the simulated accelerator and tokens per second of the CPU back end, beside llama.cpp, in one run.

    python -m benchmarks.run [MODEL] [--tokens N] [--repeats R] [-o FILE]

Every number carries its tag: measured (on this machine, median of the repeats, interleaved), simulated (cycles from RTL),
projected (cycles at an assumed clock).
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import llama_cpp
from edgellm import catalog, files
from edgellm.cli.common import table
from edgellm.numerics.model import Architecture
from edgellm.progress import track
from edgellm.runtime.llm import LLM, load

ASSUMED_CLOCK_HZ = 200e6
PROMPT = "set the living room lights to 40 percent"
SIM_TOKENS = 24


def row(what: str, value: float, unit: str, tag: str, **more: Any) -> dict[str, Any]:
    """One number with its tag."""
    return {"what": what, "value": value, "unit": unit, "tag": tag, **more}


def cpu_speed(llm: LLM, tokens: int) -> float:
    """Generated tokens per second of one stream; the model's stop ids are ignored so that both sides run the same length."""
    ids = llm.stream(PROMPT).prompt_ids
    start, first, count = time.perf_counter(), 0.0, 0
    for _ in llm.session.stream(ids, tokens, frozenset()):
        count += 1
        first = first or time.perf_counter() - start
    return (count - 1) / (time.perf_counter() - start - first)


def simulated(model: str) -> list[dict[str, Any]]:
    """Cycles per token from RTL simulation, and what they would mean at the assumed clock."""
    with load(model, "sim") as llm:
        done = llm.generate(PROMPT, SIM_TOKENS)
    cycles = done.timings.device["cycles_per_token"]
    clock = f"{ASSUMED_CLOCK_HZ / 1e6:.0f} MHz assumed"
    return [
        row("accelerator, one stream", cycles, "cycles/token", "simulated"),
        row("accelerator, one stream", ASSUMED_CLOCK_HZ / cycles, "tokens/s", f"projected, {clock}"),
    ]


def interleaved(candidates: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of each candidate, measured turn by turn so that a busy machine hits all alike."""
    runs: dict[str, list[float]] = {name: [] for name in candidates}
    with track("Measuring", repeats * len(candidates)) as bar:
        for _ in range(repeats):
            for name, measure in candidates.items():
                runs[name].append(measure())
                bar.advance()
    return {name: statistics.median(values) for name, values in runs.items()}


def measured(llm: LLM, tokens: int, repeats: int) -> list[dict[str, Any]]:
    """One stream on one thread: this CPU back end, and llama.cpp when it is installed."""
    candidates: dict[str, Callable[[], float]] = {"edgellm cpu": lambda: cpu_speed(llm, tokens)}
    if lacking := llama_cpp.missing():
        sys.stderr.write(f"llama.cpp left out: pip install {' '.join(lacking)}\n")
        return _rows(interleaved(candidates, repeats), llm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.gguf"
        arch = Architecture(**llm.manifest.arch)
        llama_cpp.write_gguf(arch, path)
        peer = llama_cpp.Peer(path, threads=1, context=arch.context)
        candidates["llama.cpp Q8_0"] = lambda: peer.tokens_per_second(llm.stream(PROMPT).prompt_ids, tokens)
        return _rows(interleaved(candidates, repeats), llm)


def _rows(speeds: dict[str, float], llm: LLM) -> list[dict[str, Any]]:
    rows = [
        row(f"{name}, one stream, one thread", speed, "tokens/s", "measured")
        for name, speed in speeds.items()
    ]
    if len(speeds) == 2:
        own, peer = speeds.values()
        rows.append(row("edgellm cpu over llama.cpp", own / peer, "ratio", "measured"))
    return rows


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
    parser.add_argument("model", nargs="?", default="home-260k")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/latest.json"))
    options = parser.parse_args()
    folder = catalog.find(options.model)
    with load(str(folder), "cpu") as llm:
        rows = measured(llm, options.tokens, options.repeats)
    rows += simulated(str(folder))
    result = {"model": options.model, **context(), "results": rows}
    files.write_text(options.output, json.dumps(result, indent=1) + "\n")
    print(
        table(
            ["what", "value", "unit", "tag"],
            [(r["what"], f"{r['value']:,.1f}", r["unit"], r["tag"]) for r in rows],
        )
    )
    print(f"\n{options.output}")


if __name__ == "__main__":
    main()
