"""Logs: one pipe, a line a request, and no secret in any of it."""

import asyncio
import gc
import io
import json
import logging

import httpx
import pytest
import structlog
import uvicorn
from caching import Script, answer, collect, order, until
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from edgellm.errors import UsageError
from edgellm.serve import logs, notes
from edgellm.serve.access import AccessLog
from edgellm.serve.measured import Measured
from edgellm.serve.metrics import Metrics
from edgellm.serve.settings import LogSettings

SECRET = "hunter2-QUJD"


@pytest.fixture
def out():
    """What is logged; afterwards logging is as it was."""
    loggers = [logging.getLogger(name) for name in ("", *logs.OWN, *logs.SILENT)]
    before = [(one, one.handlers, one.level, one.propagate) for one in loggers]
    yield io.StringIO()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for one, handlers, level, propagate in before:
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


def lines(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def application():
    """Answers, streams, errors of every kind."""
    app, metrics = FastAPI(), Metrics()

    @app.post("/v1/{kind}")
    async def ask(kind: str, request: Request):
        await request.body()
        if kind == "usage":
            raise UsageError(f"prompt is {SECRET}")
        if kind == "crash":
            raise ValueError(f"odd prompt: {SECRET}")
        if kind == "lost":
            await _lose()
        await collect(Measured(Script(*answer(1, 2)), metrics.tally("toy")), order(1, 2, 3))
        return {"text": SECRET}

    @app.get("/stream")
    async def stream():
        async def parts():
            for number in range(3):
                yield f"{number}\n"
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    @app.get("/health")
    async def health():
        return {}

    return app


async def _lost():
    raise ValueError(SECRET)


async def _lose():
    """A task that fails, and that nobody waits for."""
    tasks = [asyncio.create_task(_lost())]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks.clear()
    gc.collect()


class Ids:
    """Stands for the middleware that gives requests their ids and clients their names."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        scope["state"] = {"request_id": "req-1", "client": "kitchen"}
        await self._app(scope, receive, send)


def sent(requests, responded=lambda status: None, app=None):
    """Statuses of requests to the application with its access log."""

    async def main():
        wrapped = Ids(AccessLog(app or application(), responded))
        transport = httpx.ASGITransport(wrapped, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [
                (await client.request(*request[:2], **(request[2] if request[2:] else {}))).status_code
                for request in requests
            ]

    return asyncio.run(main())


def test_a_line_a_request(out):
    logs.set_up(LogSettings(), out)
    assert sent([("POST", "/v1/completions")]) == [200]
    (line,) = lines(out)
    assert line.pop("seconds") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "logger": "edgellm.access",
        "level": "info",
        "request_id": "req-1",
        "client": "kitchen",
        "method": "POST",
        "path": "/v1/{kind}",
        "status": 200,
        "prompt_tokens": 3,
        "tokens": 2,
        "origin": "generated",
    }


def test_text_has_the_same(out):
    logs.set_up(LogSettings(format="text"), out)
    sent([("POST", "/v1/completions")])
    (line,) = out.getvalue().splitlines()
    for part in ("request", "client=kitchen", "status=200", "tokens=2", "request_id=req-1"):
        assert part in line


def test_several_answers_of_a_request_are_added_up():
    async def main():
        known = notes.begin()
        source = Measured(Script(*answer(1, 2)), Metrics().tally("toy"))
        await asyncio.gather(*(asyncio.create_task(collect(source, order(1, 2, 3))) for _ in range(3)))
        return known

    assert asyncio.run(main()) == {"prompt_tokens": 9, "tokens": 6, "origin": "generated"}


def test_notes_outside_a_request_go_nowhere():
    notes.note(origin="cache")
    notes.add(tokens=3)
    assert notes.begin() == {}


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_secrets_in_logs(out, form, level):
    """A secret in every place of a request that a client can write to, and in errors on the way."""
    logs.set_up(LogSettings(format=form, level=level), out)
    headers = dict.fromkeys(
        ("Authorization", "Cookie", "X-Api-Key", "User-Agent", "Referer", "X-Forwarded-For", "Origin"),
        f"Bearer {SECRET}",
    )
    everywhere = {
        "headers": headers,
        "params": {"key": SECRET, SECRET: "1"},
        "content": json.dumps({"prompt": SECRET, SECRET: SECRET}),
    }
    paths = ["/v1/completions", "/v1/usage", "/v1/crash", "/v1/lost", f"/v1/{SECRET}", f"/{SECRET}"]
    statuses = sent([("POST", path, everywhere) for path in paths] + [("GET", "/stream", everywhere)])
    assert statuses == [200, 500, 500, 200, 200, 404, 200]
    for name in ("edgellm.serve", "uvicorn.error", "asyncio", "aiosqlite", "redis"):
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            logging.getLogger(name).exception("failed")
            structlog.get_logger(name).error("failed", exc_info=error)
    logging.getLogger("aiosqlite").debug("executing %s", SECRET)
    own = structlog.get_logger("edgellm.odd")
    own.warning("odd", api_key=SECRET, prompt=SECRET, authorization=SECRET, url=f"redis://:{SECRET}@host")
    text = out.getvalue()
    assert text.count("failed") >= 10
    assert SECRET not in text
    assert "hunter2" not in text


def test_an_error_tells_where_it_was(out):
    logs.set_up(LogSettings(), out)
    sent([("POST", "/v1/crash")])
    (line,) = [line for line in lines(out) if line["event"] == "request"]
    assert (line["status"], line["error"]) == (500, "ValueError")
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    last = lines(out)[-1]
    assert (last["event"], last["error"], last["level"]) == (
        "Exception in ASGI application",
        "ValueError",
        "error",
    )
    assert last["frames"][-1].startswith("tests/serve/test_serve_logs.py:")
    assert last["frames"][-1].endswith(" test_an_error_tells_where_it_was")


def test_what_asyncio_says_of_a_lost_task_is_cut(out):
    logs.set_up(LogSettings(), out)
    asyncio.run(_lose())
    (line,) = lines(out)
    assert line["event"] == "Task exception was never retrieved"
    assert SECRET not in out.getvalue()


def test_a_real_server_tells_no_secrets_either(out):
    """Also of what is no HTTP, and of an application that crashes in the middle of a stream."""
    logs.set_up(LogSettings(level="debug"), out)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ValueError(SECRET)

    async def main():
        server = uvicorn.Server(uvicorn.Config(AccessLog(app), port=0, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        for raw in (f"GET /{SECRET}?{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\n\r\n", f"{SECRET}\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw.encode())
            await reader.read()
            writer.close()
        server.should_exit = True
        await serving

    asyncio.run(main())
    told = [line["event"] for line in lines(out)]
    assert "Exception in ASGI application" in told
    assert "Invalid HTTP request received." in told
    assert "request" in told
    assert SECRET not in out.getvalue()


def test_uvicorn_goes_through_the_same_pipe_and_has_no_access_log(out):
    logs.set_up(LogSettings(), out)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    logging.getLogger("uvicorn.access").info("GET /?key=1 200")
    (line,) = lines(out)
    assert (line["event"], line["logger"]) == ("Started server process [7]", "uvicorn.error")


@pytest.mark.parametrize(("level", "told"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_level(out, level, told):
    logs.set_up(LogSettings(level=level), out)
    for log in (structlog.get_logger("edgellm.x"), logging.getLogger("edgellm.y")):
        log.debug("a")
        log.info("b")
        log.warning("c")
    assert len(lines(out)) == 2 * told


def test_others_only_warn(out):
    logs.set_up(LogSettings(level="debug"), out)
    logging.getLogger("aiosqlite").debug("executing %s", SECRET)
    logging.getLogger("httpx").info("GET")
    logging.getLogger("redis").warning("odd")
    assert [line["event"] for line in lines(out)] == ["odd"]


def test_set_up_twice_tells_once(out):
    for _ in range(2):
        logs.set_up(LogSettings(), out)
    structlog.get_logger("edgellm.x").info("a")
    assert len(lines(out)) == 1


def test_health_is_told_at_level_debug_unless_it_is_bad(out):
    logs.set_up(LogSettings(), out)
    sent([("GET", "/health")])
    assert lines(out) == []
    sent([("POST", "/health")])
    assert [line["status"] for line in lines(out)] == [405]


def test_statuses_are_reported():
    seen = []
    sent([("GET", "/stream"), ("GET", "/none"), ("POST", "/v1/crash")], seen.append)
    assert seen == [200, 404, 500]


def test_a_stream_passes_as_it_comes_and_a_client_that_goes_is_noted(out):
    """Every part is sent before the next one is made."""
    logs.set_up(LogSettings(), out)
    made, got = [], []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            assert made == got
            made.append(number)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def send(message):
        if message["type"] == "http.response.body":
            got.append(len(got))

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(AccessLog(app)(scope, None, send))
    (line,) = lines(out)
    assert (line["status"], line["cut"], line["path"]) == (200, True, "(no route)")


def test_what_is_no_request_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(AccessLog(app)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_a_cancelled_request_has_its_line_and_stays_cancelled(out):
    logs.set_up(LogSettings(), out)

    async def app(scope, receive, send):
        await asyncio.Event().wait()

    async def main():
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        task = asyncio.create_task(AccessLog(app)(scope, None, None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (line,) = lines(out)
    assert (line["status"], line["error"]) == (0, "CancelledError")
