"""Kill -9 of a back end's process under load: every request ends with the right text, and the back end comes back."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.service import client, servers, workload
from edgellm.runtime.llm import load

CLIENTS, KILLS, PAUSE = 16, 8, 2.0
BACKEND = "native"


def measure(model: str, work: Path) -> list[dict[str, Any]]:
    """Commands by 16 clients without a pause; every two seconds a process with a back end is killed."""
    del work
    texts = workload.commands()
    with load(model, BACKEND) as llm:
        want = [llm.generate(text).text for text in texts]
    isolated, off = ["--isolated", "--workers", "2"], {"EDGELLM_SERVE_CACHE__STORE": "off"}
    with servers.edgellm(model, BACKEND, isolated, off) as server:
        replies, gaps = asyncio.run(_under_fire(server, model, texts))
    good = sum(reply.status == 200 and reply.text == want[n % len(texts)] for n, reply in replies)
    clean = sum(reply.status in (429, 503) for _, reply in replies)
    return [
        {"what": "kills of a back end's process", "value": KILLS, "unit": "kills"},
        {"what": "requests", "value": len(replies), "unit": "requests"},
        {"what": "with the right text", "value": good, "unit": "requests"},
        {"what": "with a clean error", "value": clean, "unit": "requests"},
        {"what": "longest without an answer", "value": 1e3 * max(gaps), "unit": "ms"},
    ]


async def _under_fire(
    server: servers.Server, model: str, texts: list[str]
) -> tuple[list[tuple[int, client.Reply]], list[float]]:
    """(number, reply) of each request; seconds between answers."""
    replies: list[tuple[int, client.Reply]] = []
    moments: list[float] = []
    over = asyncio.Event()
    async with client.session(CLIENTS) as opened:

        async def one(number: int) -> None:
            while not over.is_set():
                body = {"model": model, "prompt": texts[number % len(texts)]}
                replies.append((number, await client.ask(opened, server.url, body)))
                moments.append(time.perf_counter())
                number += CLIENTS

        tasks = [asyncio.create_task(one(number)) for number in range(CLIENTS)]
        for _ in range(KILLS):
            await asyncio.sleep(PAUSE)
            children = psutil.Process(server.process.pid).children(recursive=True)
            backends = [child for child in children if "serve.workers" in " ".join(child.cmdline())]
            backends[0].kill()
        await asyncio.sleep(PAUSE)
        over.set()
        await asyncio.gather(*tasks)
    return replies, [later - earlier for earlier, later in pairwise(moments)]
