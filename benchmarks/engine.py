"""What the engine and the text around it cost over the bare back end, for one stream.

    python -m benchmarks.engine [MODEL] [--tokens N] [--repeats R]

Three ways to the same tokens, turn by turn: the device's own submit and poll, `LLM.generate`, and `LLM.stream` with a chunk a
token. Nobody guesses tokens. CPU time of the thread, which other programs of the machine lengthen less than they do the
clock's; the ratio is the median of each round's, so that a slow round counts for both sides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from edgellm.cli.common import table
from edgellm.runtime.device import Job
from edgellm.runtime.llm import LLM, load

PROMPT = "set the living room lights to 40 percent"


def _bare(llm: LLM, tokens: int) -> float:
    """Seconds from submission to the last token, without the engine."""
    device, ids = llm.engine.device, llm.encode(PROMPT)
    begun, left = time.thread_time(), tokens
    device.submit(0, Job(ids, tokens, speculate=False))
    while left:
        left -= sum(1 + len(event.before) for event in device.poll(1.0))
    return time.thread_time() - begun


def _generate(llm: LLM, tokens: int) -> float:
    llm.engine.clear_cache()
    begun = time.thread_time()
    llm.generate(PROMPT, max_tokens=tokens, speculate=False)
    return time.thread_time() - begun


def _stream(llm: LLM, tokens: int) -> float:
    llm.engine.clear_cache()
    begun = time.thread_time()
    for _ in llm.stream(PROMPT, max_tokens=tokens, speculate=False):
        pass
    return time.thread_time() - begun


WAYS: dict[str, Callable[[LLM, int], float]] = {"bare": _bare, "generate": _generate, "stream": _stream}


def overhead(llm: LLM, tokens: int = 200, repeats: int = 60) -> list[dict[str, Any]]:
    """Rows as those of benchmarks.run. The model's stop ids are left out, so that all ways run the same length."""
    stop_ids, llm.stop_ids = llm.stop_ids, frozenset()
    try:
        rounds = [{name: way(llm, tokens) for name, way in WAYS.items()} for _ in range(repeats)]
    finally:
        llm.stop_ids = stop_ids
    rows = []
    for name in WAYS:
        own = statistics.median(one[name] for one in rounds) / tokens * 1e6
        rows.append(_row(f"{llm.backend}, one stream, {name}", own, "us/token of CPU time"))
        if name != "bare":
            over = statistics.median(one[name] / one["bare"] - 1 for one in rounds)
            rows.append(_row(f"{llm.backend}, {name} over bare", 100 * over, "%"))
    return rows


def _row(what: str, value: float, unit: str) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "tag": "measured"}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="home-260k")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    with load(options.model, "native") as llm:
        rows = overhead(llm, options.tokens, options.repeats)
    print(
        table(
            ["what", "value", "unit", "tag"],
            [(r["what"], f"{r['value']:.1f}", r["unit"], r["tag"]) for r in rows],
        )
    )


if __name__ == "__main__":
    main()
