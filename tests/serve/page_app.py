"""A small service for tests of the page: real routes of page and live figures, a scripted model, a server in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from toy import write_model

from edgellm.errors import ModelNotFound, Overloaded, PromptError
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.api.live import live_router
from edgellm.serve.live import Gauges, Recorder, Watched
from edgellm.serve.orders import End, Order, Portion, WorkerState
from edgellm.serve.page import page_router
from edgellm.serve.served import Readiness, Served
from edgellm.serve.settings import ModelSettings, Values

KEY = "let-me-in"


class FakeWorker:
    """Says of itself what the test wants."""

    def __init__(self, name="native-0", backend="native", slots=4, state=None):
        self.name, self.backend, self.slots = name, backend, slots
        self.now = state or WorkerState(True)
        self.looks = 0

    def state(self):
        self.looks += 1
        return self.now


@dataclass
class Script:
    """What the next answers are: each a text and how it comes; an exception is raised instead."""

    answers: deque = field(default_factory=deque)
    pause: float = 0.0  # s between portions
    portion: int = 4  # tokens, which are bytes
    cached: int = 0
    origin: str = "generated"
    stopped: int = 0  # answers that were closed before their end
    orders: list = field(default_factory=list)

    async def stream(self, order):
        self.orders.append(order)
        answer = self.answers.popleft() if self.answers else "Yes."
        if isinstance(answer, Exception):
            raise answer
        tokens = list(answer.encode())
        try:
            for at in range(0, len(tokens), self.portion):
                await asyncio.sleep(self.pause)
                yield Portion(tokens[at : at + self.portion])
        except BaseException:
            self.stopped += 1
            raise
        yield Portion((), end=End("stop", "native", self.cached, origin=self.origin))


class FakeService:
    """One or two models with a script each."""

    def __init__(self, folder: Path, names=("toy",), workers=None):
        model = Model(write_model(folder / "toy"))
        self.values = Values(models=({"path": "toy"},))
        self.script = Script()
        self.workers = workers or [FakeWorker()]
        self.ready = Readiness(True)
        self.served = [self._served(name, model) for name in names]

    def _served(self, name, model):
        recorder = Recorder(Gauges(waiting=lambda: 3, stored=lambda: 12))
        source = Watched(self.script, recorder)
        return Served(name, model, "0", source, ModelSettings(path="toy"), self.workers, 0.0, recorder)

    def models(self):
        return self.served

    def get(self, name):
        for served in self.served:
            if served.name == name:
                return served
        raise ModelNotFound(f"no model {name!r}")

    def readiness(self):
        return self.ready


def chunk(delta=None, reason=None, own=None, **more):
    """A chunk in OpenAI's shape; `own` is what OpenAI has no field for."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason, **({"edgellm": own} if own else {})}
    choices = [] if delta is None else [choice]
    return f"data: {json.dumps({'id': 'chatcmpl-1', 'choices': choices, **more})}\n\n"


def error(message, status, **headers):
    """An error in OpenAI's shape."""
    return JSONResponse({"error": {"message": message, "type": "x", "code": None}}, status, headers)


class Chat:
    """A fake of the route that the page uses; `asked` has the bodies that came."""

    def __init__(self, service):
        self.service = service
        self.asked = []
        self.cut_after = None  # chunks after which the connection ends without a word
        self.fail_after = None  # chunks after which the stream tells of an error

    async def __call__(self, request: Request):
        body = await request.json()
        self.asked.append(body)
        served = self.service.get(body["model"])
        order = Order(
            tuple(body["messages"][-1]["content"].encode()), Params(stop=tuple(body.get("stop", ())))
        )
        portions = served.source.stream(order)
        try:
            first = await anext(portions)
        except Overloaded as busy:
            return error(str(busy), 429, **{"Retry-After": str(busy.retry_after)})
        except PromptError as wrong:
            return error(str(wrong), 400)
        return StreamingResponse(self.chunks(order, portions, first), media_type="text/event-stream")

    async def chunks(self, order, portions, portion):
        sent = tokens = 0
        yield chunk({"role": "assistant", "content": ""})
        try:
            while portion.end is None:
                tokens += len(portion.tokens)
                yield chunk({"content": bytes(portion.tokens).decode()})
                sent += 1
                if sent == self.cut_after:
                    self.cut_after = None
                    return
                if sent == self.fail_after:
                    self.fail_after = None
                    yield f"event: error\ndata: {json.dumps({'error': {'message': 'back end native broke down'}})}\n\n"
                    return
                portion = await anext(portions)
        finally:
            await portions.aclose()
        end = portion.end
        timings = {"first_token": 0.000234, "total": 0.0005}
        own = {"backend": end.backend, "origin": end.origin, "timings": timings}
        yield chunk({}, end.finish_reason, own)
        usage = {"prompt_tokens": len(order.prompt), "completion_tokens": tokens}
        usage["prompt_tokens_details"] = {"cached_tokens": end.cached}
        yield chunk(usage=usage)
        yield "data: [DONE]\n\n"


class Locked:
    """Lets only those through who have the key, the page's own files aside."""

    def __init__(self, app, lock):
        self.app, self.lock = app, lock

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "/")
        given = dict(scope.get("headers", ())).get(b"authorization", b"").decode()
        if path == "/" or path.startswith("/web/") or not self.lock() or given == f"Bearer {KEY}":
            await self.app(scope, receive, send)
        else:
            await error("no key", 401)(scope, receive, send)


@dataclass
class Site:
    """All of it."""

    service: FakeService
    locked: bool = False
    interval: float = 0.1

    def __post_init__(self):
        self.chat = Chat(self.service)
        self.server = None

    def app(self):
        app = FastAPI()
        app.include_router(page_router())
        app.include_router(live_router(self.service, self.interval))
        app.post("/v1/chat/completions")(self.chat.__call__)
        app.add_middleware(Locked, lock=lambda: self.locked)
        return app

    @property
    def script(self):
        return self.service.script

    @contextlib.contextmanager
    def running(self, port=0):
        """The address, while a server of this site runs."""
        server = uvicorn.Server(
            uvicorn.Config(self.app(), port=port, log_level="error", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            threading.Event().wait(0.01)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
