"""Ten times more requests than can be answered: what is accepted is answered in time, the rest refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.service import client, servers, workload

CLIENTS, REQUESTS = 32, 400
FACTOR, SECONDS = 10.0, 60.0
QUEUE = CLIENTS // 2  # a place in it is worth half an answer of waiting
ANSWER = 200  # tokens: long ones, so that the clients can send ten times more
BACKEND = "cpu"


def measure(model: str, work: Path) -> list[dict[str, Any]]:
    """First as many clients as slots, then arrivals at ten times the rate that these reached."""
    (work / "model").mkdir()
    folder = str(servers.without_stop_ids(model, work / "model"))
    short = {
        "EDGELLM_SERVE_LOG__LEVEL": "warning",
        "EDGELLM_SERVE_CACHE__STORE": "off",
        "EDGELLM_SERVE_QUEUE__MOST_REQUESTS": str(QUEUE),
    }
    with servers.edgellm(folder, BACKEND, ["--isolated"], short) as server:
        body = workload.tokens(ANSWER, model=server.model)
        client.run(client.closed(server.url, CLIENTS, REQUESTS, body))
        at_capacity = client.run(client.closed(server.url, CLIENTS, REQUESTS, body))
        rate = REQUESTS / at_capacity.seconds
        load = client.run(client.arriving(server.url, FACTOR * rate, SECONDS, body))
    statuses, accepted = load.statuses(), load.latencies()
    unloaded = client.percentile(at_capacity.latencies(), 0.99)
    loaded = client.percentile(accepted, 0.99)
    return [
        {"what": f"capacity, {CLIENTS} clients", "value": rate, "unit": "requests/s"},
        {"what": "arrivals", "value": len(load.replies) / SECONDS, "unit": "requests/s"},
        {"what": "answered (200)", "value": statuses.pop(200, 0), "unit": "requests"},
        {"what": "refused (429)", "value": statuses.pop(429, 0), "unit": "requests"},
        {"what": "anything else", "value": sum(statuses.values()), "unit": "requests"},
        {"what": "p99 of the answered at capacity", "value": 1e3 * unloaded, "unit": "ms"},
        {"what": "p99 of the answered in overload", "value": 1e3 * loaded, "unit": "ms"},
        {"what": "overload over capacity, p99", "value": loaded / unloaded, "unit": "ratio"},
    ]
