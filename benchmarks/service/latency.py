"""What the service adds to the engine's own latency, and how soon an answer comes that it has already."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.service import client, servers, workload
from edgellm.runtime.llm import load

RATE, SECONDS = 10.0, 30.0
CACHED, WARM = 3000, 50
BACKEND = "native"


def added(model: str, work: Path) -> list[dict[str, Any]]:
    """Commands at 10 a second, through the service and by the engine alone."""
    del work
    texts = workload.commands()
    with load(model, BACKEND) as llm:
        alone = _timed(texts, llm.generate)
    with servers.edgellm(model, BACKEND, environment={"EDGELLM_SERVE_CACHE__STORE": "off"}) as server:
        served = _served(server, model, texts)
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        engine, service = (1e3 * client.percentile(values, share) for values in (alone, served))
        rows.append({"what": f"engine alone, {name}", "value": engine, "unit": "ms"})
        rows.append({"what": f"service, {name}", "value": service, "unit": "ms"})
        rows.append({"what": f"added by the service, {name}", "value": service - engine, "unit": "ms"})
    return rows


def _timed(texts: list[str], answer: Callable[[str], object]) -> list[float]:
    """Seconds of each answer, sorted; with the same pauses between them for all sides."""
    taken = []
    for text in [*texts[:WARM], *texts[: int(RATE * SECONDS)]]:
        start = time.perf_counter()
        answer(text)
        taken.append(time.perf_counter() - start)
        time.sleep(max(0.0, 1 / RATE - taken[-1]) if len(taken) > WARM else 0)
    return sorted(taken[WARM:])


def _served(server: servers.Server, model: str, texts: list[str]) -> list[float]:
    connection = client.Connection(server.port, server.path)
    with contextlib.closing(connection):
        return _timed(texts, lambda text: connection.ask({"model": model, "prompt": text}))


def cached(model: str, work: Path) -> list[dict[str, Any]]:
    """One client, answers that came before."""
    del work
    texts = workload.commands()[:100]
    with servers.edgellm(model, BACKEND) as server:

        def body(number: int) -> dict[str, Any]:
            return {"model": model, "prompt": texts[number % len(texts)]}

        client.run(client.closed(server.url, 1, len(texts), body))
        taken = client.run(client.closed(server.url, 1, CACHED, body)).latencies()
    return [
        {"what": f"cached answer, {name}", "value": 1e3 * client.percentile(taken, share), "unit": "ms"}
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
