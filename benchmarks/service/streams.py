"""Five hundred streams at once: all end, each with its own text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.service import client, servers, workload
from edgellm.runtime import llm as llms

STREAMS = 500
CONTEXT = 256  # tokens that a prompt and its answer take at most
BACKEND = "native"


def measure(model: str, work: Path) -> list[dict[str, Any]]:
    """Different commands, streamed; texts are compared with the engine's own."""
    del work
    texts = workload.commands()[:STREAMS]
    room = {
        "EDGELLM_SERVE_QUEUE__MOST_REQUESTS": str(STREAMS),
        "EDGELLM_SERVE_QUEUE__MOST_TOKENS": str(STREAMS * CONTEXT),
        "EDGELLM_SERVE_CACHE__STORE": "off",
    }
    with llms.load(model, BACKEND) as llm:
        want = [llm.generate(text).text for text in texts]
    with servers.edgellm(model, BACKEND, environment=room) as server:

        def body(number: int) -> dict[str, Any]:
            return {"model": model, "prompt": texts[number], "stream": True, "user": str(number)}

        load, memory = client.run(client.watched(client.numbered(server.url, STREAMS, body), server.memory))
    finished = sum(reply.status == 200 and reply.finished for reply in load.replies)
    right = sum(reply.text == text for reply, text in zip(load.replies, want, strict=True))
    return [
        {"what": f"streams of {STREAMS} at once that finished", "value": finished, "unit": "streams"},
        {"what": "of these with the engine's text", "value": right, "unit": "streams"},
        {"what": "most resident memory of the service", "value": memory, "unit": "MB"},
    ]
