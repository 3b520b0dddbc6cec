"""`edgellm serve` with a service that says what it is told: for tests of the process and of what stands before the routes.

    python tests/serve/standin.py serve home-260k --port 0

A request's JSON says how many `chunks` to stream and how many seconds to `pause` before each; those that are left come when the
file `until` is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from edgellm import catalog
from edgellm.cli import main
from edgellm.errors import ModelNotFound
from edgellm.runtime.model import Model
from edgellm.serve import parts
from edgellm.serve.orders import WorkerState
from edgellm.serve.served import Readiness, Served


class Worker:
    """One that a file can kill."""

    name, backend, slots = "standin-0", "standin", 1

    def state(self):
        return WorkerState(not Path(os.environ.get("DEAD", "nowhere")).exists())


class Service:
    """Models that are loaded, but generate nothing."""

    def __init__(self, values):
        self.values, self.draining, self.gone, self.running = values, False, False, 0

    async def open(self):
        await asyncio.sleep(float(os.environ.get("OPENING", "0")))
        self._models = self._loaded(self.values)

    def _loaded(self, values):
        made = [(model, Model(catalog.find(model.path))) for model in values.models]
        return [Served(s.name or m.name, m, "digest", None, s, (Worker(),)) for s, m in made]

    def models(self):
        return self._models

    def get(self, name):
        for served in self._models:
            if served.name == name:
                return served
        raise ModelNotFound(name)

    def readiness(self):
        return Readiness(not self.draining)

    async def reload(self, values):
        self._models = self._loaded(values)

    async def drain(self, seconds):
        self.draining = True
        for _ in range(int(seconds * 100)):
            if not self.running:
                return True
            await asyncio.sleep(0.01)
        return False

    async def close(self):
        if not self.gone:
            sys.stderr.write("closed\n")
        self.gone = True


def create_app(service, middlewares=()) -> Starlette:
    async def completions(request: Request):
        asked = json.loads(await request.body() or b"{}")

        async def chunks():
            service.running += 1
            try:
                for number in range(asked.get("chunks", 0)):
                    await asyncio.sleep(asked.get("pause", 0))
                    while number and "until" in asked and not Path(asked["until"]).exists():
                        await asyncio.sleep(0.01)
                    if service.gone:
                        yield 'data: {"error": {"code": "shutting_down"}}\n\n'
                        return
                    yield f"data: {number}{'.' * asked.get('pad', 0)}\n\n"
                yield "data: [DONE]\n\n"
            finally:
                service.running -= 1

        if "chunks" not in asked:
            return JSONResponse({"client": request.state.client, "asked": asked, "peer": request.client.host})
        return StreamingResponse(chunks(), media_type="text/event-stream")

    async def ready(request: Request):
        return PlainTextResponse("ok", 200 if service.readiness().ready else 503)

    async def models(request: Request):
        return JSONResponse([served.name for served in service.models()])

    return Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse("<title>page</title>")),
            Route("/health", lambda request: PlainTextResponse("ok")),
            Route("/ready", ready),
            Route("/metrics", lambda request: PlainTextResponse("metrics")),
            Route("/admin/caches", models),
            Route("/v1/models", models),
            Route("/v1/completions", completions, methods=["POST"]),
        ],
        middleware=list(middlewares),
    )


if __name__ == "__main__":
    parts.real = lambda: parts.Parts(Service, create_app)
    sys.exit(main.main(sys.argv[1:]))
