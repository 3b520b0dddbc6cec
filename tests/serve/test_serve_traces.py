"""Traces: spans of request, queue and generation, their parents, a receiver that gets them, and nothing when off."""

import asyncio
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from caching import Script, answer, collect, order
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from edgellm.errors import BackendFailed, ConfigError, ToolMissing
from edgellm.serve.traces import NS, Traced, TracedRequests, Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def traced(script, requests, headers=None):
    """Spans of requests by name, and the statuses."""
    exporter = InMemorySpanExporter()
    tracing = Tracing.by(exporter)
    app = FastAPI()
    source = Traced(script, tracing, "toy")

    @app.post("/v1/{kind}")
    async def ask(kind: str):
        await collect(source, order(1, 2, 3))
        return {}

    @app.get("/health")
    async def health():
        return {}

    async def main():
        transport = httpx.ASGITransport(TracedRequests(app, tracing), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [(await client.request(*one, headers=headers)).status_code for one in requests]

    statuses = asyncio.run(main())
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}, statuses


def test_spans_of_request_queue_and_generation():
    spans, _ = traced(Script(*answer(1, 2, queued=0.000001, cached=2)), [("POST", "/v1/chat?key=secret")])
    assert set(spans) == {"POST /v1/{kind}", "queue", "generate"}
    request, queue, generate = (spans[name] for name in ("POST /v1/{kind}", "queue", "generate"))
    assert queue.parent.span_id == generate.parent.span_id == request.context.span_id
    assert request.parent is None
    assert (
        request.start_time <= queue.start_time <= queue.end_time == generate.start_time <= generate.end_time
    )
    assert generate.end_time <= request.end_time
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/{kind}",
        "http.response.status_code": 200,
    }
    assert dict(generate.attributes) == {
        "gen_ai.request.model": "toy",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "edgellm.finish_reason": "stop",
        "edgellm.origin": "generated",
        "edgellm.backend": "script",
        "edgellm.prefix_cached_tokens": 2,
    }


def test_spans_begin_when_the_order_came_and_when_its_wait_was_over():
    exporter = InMemorySpanExporter()
    tracing = Tracing.by(exporter)
    asked = order(arrived=time.monotonic() - 10)
    asyncio.run(collect(Traced(Script(*answer(1, queued=4.0)), tracing, "toy"), asked))
    tracing.close()
    queue, generate = exporter.get_finished_spans()
    assert queue.end_time - queue.start_time == 4 * NS
    assert generate.start_time == queue.end_time
    assert generate.end_time - generate.start_time >= 6 * NS


def test_the_callers_trace_goes_on():
    spans, _ = traced(Script(*answer(1)), [("POST", "/v1/chat")], {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    request = spans["POST /v1/{kind}"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert spans["generate"].context.trace_id == request.context.trace_id


@pytest.mark.parametrize("wrong", ["", "00-zz-1-01", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000])
def test_a_trace_parent_that_is_none_begins_a_trace(wrong):
    spans, statuses = traced(Script(*answer(1)), [("POST", "/v1/chat")], {"traceparent": wrong})
    assert statuses == [200]
    assert spans["POST /v1/{kind}"].parent is None


def test_a_trace_that_the_caller_does_not_record_is_not():
    spans, _ = traced(Script(*answer(1)), [("POST", "/v1/chat")], {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert spans == {}


def test_errors_have_their_kind_and_no_message():
    spans, statuses = traced(Script(error=BackendFailed("prompt: secret")), [("POST", "/v1/chat")])
    assert statuses == [500]
    assert spans["generate"].attributes["error.type"] == "BackendFailed"
    assert spans["POST /v1/{kind}"].attributes["error.type"] == "BackendFailed"
    assert not any("secret" in span.to_json() for span in spans.values())


def test_health_has_no_spans_and_an_unknown_path_no_name():
    spans, statuses = traced(Script(), [("GET", "/health"), ("GET", "/secret")])
    assert statuses == [200, 404]
    assert set(spans) == {"GET (no route)"}


class Receiver(BaseHTTPRequestHandler):
    """Takes spans by OTLP over HTTP; fails as often as it is told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        self.server.got.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def generated_by(tracing):
    asyncio.run(collect(Traced(Script(*answer(1, queued=0.1)), tracing, "toy"), order()))
    tracing.close()


@pytest.mark.parametrize(
    ("path", "asked"), [("", "/v1/traces"), ("/", "/v1/traces"), ("/own/path", "/own/path")]
)
def test_a_receiver_gets_them(receiver, path, asked):
    generated_by(Tracing.to(f"http://127.0.0.1:{receiver.server_port}{path}"))
    ((where, request),) = receiver.got
    assert where == asked
    (resource,) = request.resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}[
        "service.name"
    ] == "edgellm"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["queue", "generate"]


def test_a_receiver_that_refuses_harms_nobody(receiver, caplog):
    receiver.status = 400
    generated_by(Tracing.to(f"http://127.0.0.1:{receiver.server_port}"))
    assert receiver.got


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://", "x"])
def test_an_endpoint_that_is_no_address(endpoint):
    with pytest.raises(
        ConfigError, match=r"^log\.traces is no address of an OTLP receiver: give http://HOST:4318$"
    ):
        Tracing.to(endpoint)


def test_without_opentelemetry(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("opentelemetry.exporter"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ToolMissing, match=r"^traces need OpenTelemetry: pip install 'edgellm\[trace\]'$"):
        Tracing.to("http://localhost:4318")


def test_nothing_is_imported_when_they_are_off():
    program = (
        "import sys, edgellm.serve.traces; print([n for n in sys.modules if n.startswith('opentelemetry')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
