"""A hundred thousand requests: nothing leaks, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.service import client, servers, workload
from edgellm.runtime.llm import load

REQUESTS, PARTS, CLIENTS = 100_000, 10, 16
BACKEND = "native"


def measure(model: str, work: Path) -> list[dict[str, Any]]:
    """Commands again and again, half of them streamed, without the response cache; every text is compared."""
    del work
    texts = workload.commands()
    with load(model, BACKEND) as llm:
        done = [llm.generate(text) for text in texts]
    wrong, memory = 0, []
    with servers.edgellm(model, BACKEND, environment={"EDGELLM_SERVE_CACHE__STORE": "off"}) as server:

        def body(number: int) -> dict[str, Any]:
            stream = {"stream": True, "stream_options": {"include_usage": True}} if number % 2 else {}
            return {"model": model, "prompt": texts[number % len(texts)], **stream}

        for _ in range(PARTS):
            replies = client.run(client.numbered(server.url, REQUESTS // PARTS, body, CLIENTS)).replies
            wrong += sum(
                reply.status != 200
                or reply.text != done[n % len(done)].text
                or reply.tokens != len(done[n % len(done)].tokens)
                for n, reply in enumerate(replies)
            )
            memory.append(server.memory())
    return [
        {"what": "requests", "value": REQUESTS, "unit": "requests"},
        {"what": "lost, wrong, or with a token too many or few", "value": wrong, "unit": "requests"},
        {"what": f"resident after a {PARTS}th", "value": memory[0], "unit": "MB"},
        {"what": "resident at the end", "value": memory[-1], "unit": "MB"},
    ]
