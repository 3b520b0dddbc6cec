"""Clients of a service in OpenAI's dialect: so many that ask again and again, or arrivals at a rate."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import uvloop

Body = dict[str, Any]
LOOK_SECONDS = 0.05
Result = TypeVar("Result")
TIMEOUT = aiohttp.ClientTimeout(total=120)


@dataclass(slots=True)
class Reply:
    """What came of one request; times in seconds."""

    status: int  # 0: the connection broke
    latency: float
    tokens: int = 0
    text: str = ""
    first: float | None = None  # to the first chunk of a stream
    finished: bool = True  # a stream that came to its end


@dataclass(slots=True)
class Load:
    """Replies and how long all of it took."""

    seconds: float
    replies: list[Reply] = field(default_factory=list)

    def statuses(self) -> Counter[int]:
        """How many of each."""
        return Counter(reply.status for reply in self.replies)

    def latencies(self, status: int = 200) -> list[float]:
        """Of those with this status, sorted."""
        return sorted(reply.latency for reply in self.replies if reply.status == status)


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values; the nearest rank."""
    return values[min(len(values) - 1, int(share * len(values)))]


async def ask(session: aiohttp.ClientSession, url: str, body: Body) -> Reply:
    """One request; nothing is raised."""
    start = time.perf_counter()
    try:
        async with session.post(url, json=body) as response:
            if body.get("stream") and response.status == 200:
                return await _read_stream(response, start)
            answer = json.loads(await response.read())
            latency = time.perf_counter() - start
            if response.status != 200:
                return Reply(response.status, latency)
            return Reply(
                200, latency, answer["usage"]["completion_tokens"], answer["choices"][0].get("text", "")
            )
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return Reply(0, time.perf_counter() - start, finished=False)


async def _read_stream(response: aiohttp.ClientResponse, start: float) -> Reply:
    reply = Reply(200, 0.0, finished=False)
    parts: list[str] = []
    async for line in response.content:
        if not line.startswith(b"data:"):
            continue
        if reply.first is None:
            reply.first = time.perf_counter() - start
        data = line[5:].strip()
        if data == b"[DONE]":
            reply.finished = True
            break
        _take(json.loads(data), reply, parts)
    reply.latency, reply.text = time.perf_counter() - start, "".join(parts)
    return reply


def _take(chunk: Body, reply: Reply, parts: list[str]) -> None:
    parts.extend(choice.get("text") or "" for choice in chunk.get("choices", []))
    if usage := chunk.get("usage"):
        reply.tokens = usage["completion_tokens"]


class Connection:
    """One connection and a blocking socket: what is measured through it is the server's time."""

    def __init__(self, port: int, path: str) -> None:
        """To a server on this machine."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = path

    def ask(self, body: Body) -> Reply:
        """One request."""
        data = json.dumps(body).encode()
        head = f"POST {self._path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        start = time.perf_counter()
        self._socket.sendall(request)
        told, _, answer = self._until(b"\r\n\r\n")
        size = int(told.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(answer) < size:
            answer += self._socket.recv(65536)
        latency, status = time.perf_counter() - start, int(told.split()[1])
        return Reply(
            status, latency, json.loads(answer)["usage"]["completion_tokens"] if status == 200 else 0
        )

    def _until(self, end: bytes) -> tuple[bytes, bytes, bytes]:
        read = b""
        while end not in read:
            read += self._socket.recv(65536)
        return read.partition(end)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def session(connections: int) -> aiohttp.ClientSession:
    """That many connections, kept alive."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, force_close=False), timeout=TIMEOUT
    )


async def closed(url: str, clients: int, requests: int, body: Callable[[int], Body]) -> Load:
    """`clients` that each send their next request when they have the answer to the last."""
    numbers = iter(range(requests))
    replies: list[Reply] = []
    async with session(clients) as opened:

        async def client() -> None:
            for number in numbers:
                replies.append(await ask(opened, url, body(number)))

        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return Load(time.perf_counter() - start, replies)


async def numbered(url: str, requests: int, body: Callable[[int], Body], clients: int = 0) -> Load:
    """As `closed`, the replies in the order of the requests; all at once where no number of clients is given."""
    replies = [Reply(0, 0.0)] * requests
    numbers = iter(range(requests))
    async with session(clients or requests) as opened:

        async def client() -> None:
            for number in numbers:
                replies[number] = await ask(opened, url, body(number))

        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients or requests)))
        return Load(time.perf_counter() - start, replies)


async def arriving(
    url: str, rate: float, seconds: float, body: Callable[[int], Body], connections: int = 0
) -> Load:
    """Requests at random times, `rate` a second on average, whether earlier ones are answered or not."""
    rng, tasks = random.Random(0), []
    async with session(connections) as opened:
        start = time.perf_counter()
        at, number = 0.0, 0
        while (at := at + rng.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(opened, url, body(number))))
            number += 1
        replies = await asyncio.gather(*tasks)
        return Load(time.perf_counter() - start, list(replies))


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """On a fast event loop."""
    return uvloop.run(work)


async def watched(work: Coroutine[Any, Any, Load], look: Callable[[], float]) -> tuple[Load, float]:
    """A load, and the most that was seen meanwhile."""
    task, most = asyncio.create_task(work), look()
    while not task.done():
        await asyncio.wait([task], timeout=LOOK_SECONDS)
        most = max(most, look())
    return task.result(), most
