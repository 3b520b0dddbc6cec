"""Traces by OpenTelemetry: a span of each request, and in it of its wait for a worker and of its generation.

Nothing of this is imported or in the way unless an endpoint is configured. Spans have counts and names, no text.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgellm._version import __version__
from edgellm.errors import ConfigError, ToolMissing
from edgellm.serve.orders import End, Order, Portion, Source

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

PATH = "/v1/traces"  # of OTLP over HTTP
QUIET = frozenset({"/health", "/ready", "/metrics"})
NS = 1_000_000_000
PARENT = frozenset({b"traceparent", b"tracestate"})


class Tracing:
    """Where spans go. `close` sends what is left, for a few seconds at most."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("edgellm", __version__)

    @classmethod
    def to(cls, endpoint: str) -> Tracing:
        """Send spans to an OTLP endpoint over HTTP, in the background.

        Raises: ToolMissing without OpenTelemetry, ConfigError for an endpoint that is no address.
        """
        address = _address(endpoint)
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            raise ToolMissing("traces need OpenTelemetry: pip install 'edgellm[trace]'") from None
        return cls.by(OTLPSpanExporter(endpoint=address, timeout=5))

    @classmethod
    def by(cls, exporter: SpanExporter) -> Tracing:
        """Give spans to an exporter, in the background."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": "edgellm", "service.version": __version__})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider)

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._provider.shutdown()


def _address(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("log.traces is no address of an OTLP receiver: give http://HOST:4318")
    return urlunsplit(parts._replace(path=PATH)) if parts.path in ("", "/") else endpoint


class TracedRequests:
    """ASGI middleware: a span of each request, child of the caller's (W3C traceparent)."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app, self._tracer, self._trace = app, tracing.tracer, trace
        self._extract = TraceContextTextMapPropagator().extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI's applications."""
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in PARENT
        }
        span = self._tracer.start_span("request", self._extract(carrier), self._trace.SpanKind.SERVER)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        try:
            # an error's message may have words of the client
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._app(scope, receive, tell)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            route = getattr(scope.get("route"), "path", "(no route)")
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes({"http.request.method": scope["method"], "http.route": route})
            span.end()


class Traced:
    """See `orders.Source`. Two spans an answer, made when it has ended: `queue` and `generate`."""

    def __init__(self, inner: Source, tracing: Tracing, model: str) -> None:
        self._inner, self._tracer, self._model = inner, tracing.tracer, model

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions of `inner`."""
        count, end, error = 0, None, ""
        portions = self._inner.stream(order)
        try:
            async for portion in portions:
                count += len(portion.tokens)
                end = portion.end or end
                yield portion
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._record(order, count, end, error if end is None else "")
            await portions.aclose()

    def _record(self, order: Order, count: int, end: End | None, error: str) -> None:
        now = time.time_ns()
        begun = now - int((time.monotonic() - order.arrived) * NS)
        started = min(now, begun + int(end.queued * NS)) if end else begun
        if end is not None and end.queued:
            self._tracer.start_span("queue", start_time=begun).end(started)
        attributes: dict[str, str | int] = {
            "gen_ai.request.model": self._model,
            "gen_ai.usage.input_tokens": len(order.prompt),
            "gen_ai.usage.output_tokens": count,
        }
        if end is not None:
            attributes |= {"edgellm.finish_reason": end.finish_reason, "edgellm.origin": end.origin}
            attributes |= {"edgellm.backend": end.backend, "edgellm.prefix_cached_tokens": end.cached}
        if error:
            attributes["error.type"] = error
        self._tracer.start_span("generate", attributes=attributes, start_time=started).end(now)
