"""A service of small parts: sources that say what they are told, a model of bytes, and a real server around an application."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import uvicorn
from toy import write_model

from edgellm.errors import ModelNotFound
from edgellm.runtime import chains
from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.model import Model
from edgellm.serve.app import create_app
from edgellm.serve.orders import End, Order, Portion
from edgellm.serve.served import Readiness, Served
from edgellm.serve.settings import ModelSettings, Values

NAME, DIGEST = "toy", "0123456789abcdef" * 4
END = End("stop", "fake", cached=1, queued=0.25, counters={"cycles": 7.0})


class Scripted:
    """Source that gives every order the same portions, or those of a function, and records what became of it."""

    def __init__(
        self,
        portions: Sequence[Portion] | Callable[[Order], Sequence[Portion]],
        error: Exception | None = None,
        delay: float | None = None,
    ) -> None:
        """`error`: raised behind the last portion. `delay`: seconds before each; None: no turn of the event loop either."""
        self.portions, self.error, self.delay = portions, error, delay
        self.orders: list[Order] = []
        self.running = self.cancelled = self.ended = 0

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        self.orders.append(order)
        self.running += 1
        complete = False
        try:
            for portion in self.portions(order) if callable(self.portions) else self.portions:
                if self.delay is not None:
                    await asyncio.sleep(self.delay)
                complete = portion.end is not None
                yield portion
            if self.error is not None:
                complete = True
                raise self.error
        finally:
            self.running -= 1
            self.ended += complete
            self.cancelled += not complete


class Endless(Scripted):
    """Source that goes on until it is closed; before the first token it waits for `go`."""

    def __init__(self, token: int = ord("a")) -> None:
        super().__init__(())
        self.token, self.go = token, asyncio.Event()

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        self.orders.append(order)
        self.running += 1
        try:
            await self.go.wait()
            while True:
                yield Portion((self.token,))
                await asyncio.sleep(0.001)
        finally:
            self.running -= 1
            self.cancelled += 1


def said(text: str | bytes, size: int = 1, end: End = END, logprobs: int | None = None) -> list[Portion]:
    """Portions of so many tokens each, which are bytes in the toy model; the end comes by itself."""
    tokens = text.encode() if isinstance(text, str) else text
    cut = [tokens[at : at + size] for at in range(0, len(tokens), size)]
    infos = [[] if logprobs is None else [info(token, logprobs) for token in one] for one in cut]
    return [Portion(tuple(one), tuple(told)) for one, told in zip(cut, infos, strict=True)] + [
        Portion((), (), end)
    ]


def info(token: int, count: int) -> TokenInfo:
    """What the toy model thinks: the token, and those behind it, each half as likely."""
    return TokenInfo(token, -1.0, tuple((token + step, -1.0 - step) for step in range(count)))


@dataclass
class FakeService:
    """Of models that are there from the beginning."""

    served: list[Served]
    values: Values = field(default_factory=lambda: values())
    state: Readiness = field(default_factory=lambda: Readiness(True))

    def models(self) -> Sequence[Served]:
        return self.served

    def get(self, name: str) -> Served:
        for one in self.served:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in self.served)
        raise ModelNotFound(f"there is no model {name!r}: this service has {names}")

    def readiness(self) -> Readiness:
        return self.state


def values(**sections) -> Values:
    """The settings of a service."""
    return Values(models=(ModelSettings(path=NAME),), **sections)


def serve(folder: Path, source, workers=(), **settings) -> Served:
    """The toy model, with its tokens from a source; `settings` as of `ModelSettings`."""
    path = folder if folder.exists() else write_model(folder)
    made = ModelSettings(path=str(path), **settings)
    model = Model(path, chains.of({"filters": made.filters, "post": made.post}))
    return Served(NAME, model, DIGEST, source, made, workers, 1_700_000_000.0)


class Server:
    """A real server on a free port, in a thread with an event loop of its own."""

    def __init__(self, app) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self):
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            threading.Event().wait(0.005)
        return self

    def __exit__(self, *_) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


class Client:
    """Requests to an application in this process, one event loop each."""

    def __init__(self, app) -> None:
        self._app = app

    def __call__(self, method: str, path: str, **options) -> httpx.Response:
        async def main():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
                return await client.request(method, path, **options)

        return asyncio.run(main())

    def post(self, path: str, **body) -> httpx.Response:
        """JSON of the keywords."""
        return self("POST", path, json=body)

    def complete(self, **body) -> httpx.Response:
        """Of the toy model."""
        return self.post("/v1/completions", **{"model": NAME, "prompt": "hi", **body})

    def chat(self, **body) -> httpx.Response:
        """The same for chats."""
        messages = [{"role": "user", "content": "hi"}]
        return self.post("/v1/chat/completions", **{"model": NAME, "messages": messages, **body})


def client(folder: Path, source, **settings) -> Client:
    """Of a service with the toy model alone."""
    return Client(create_app(FakeService([serve(folder, source, **settings)])))


__all__ = [
    "END",
    "Client",
    "Endless",
    "FakeService",
    "Scripted",
    "Server",
    "client",
    "info",
    "replace",
    "said",
    "serve",
    "values",
]
