"""Connections: uvicorn's protocol on httptools, with bounds on number, headers, idleness and slow readers.

uvicorn itself waits for headers for ever, takes any amount of them, and waits for ever for a client that does not read.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edgellm.serve.refusals import Refusal
from edgellm.serve.settings import LimitSettings

PER_HEADER = 4  # ": " and the line's end
KB = 1024
NOT_HTTP = Refusal(400, "invalid_http", "this is not a valid HTTP/1.1 request", close=True)


def too_big(limits: LimitSettings) -> Refusal:
    """Of headers."""
    most = f"{limits.header_count} headers and {limits.header_kb} KB of them"
    return Refusal(
        431,
        "headers_too_large",
        f"the request's headers are too many or too long: at most {most}",
        close=True,
    )


def too_slow(limits: LimitSettings) -> Refusal:
    """Of headers."""
    message = f"the request's headers did not come within {limits.header_seconds:g} s"
    return Refusal(408, "headers_too_slow", message, close=True)


def too_many(limits: LimitSettings) -> Refusal:
    """Of connections."""
    return Refusal(
        503,
        "too_many_connections",
        f"there are {limits.connections} connections already: come again",
        1,
        close=True,
    )


class BoundedProtocol(HttpToolsProtocol):
    """A connection; `limits` are set by `bounded`."""

    limits: LimitSettings
    _head_timer: asyncio.TimerHandle | None = None  # runs while headers are awaited
    _write_timer: asyncio.TimerHandle | None = None  # runs while the client does not read
    _in_head = True
    _pending = 0  # bytes of headers that are not complete
    _head_bytes = 0  # as parsed
    _head_count = 0
    _refusal: Refusal = NOT_HTTP

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, unless there are too many."""
        super().connection_made(transport)
        self.ws_protocol_class = None
        if len(self.connections) > self.limits.connections:
            self._refuse(too_many(self.limits))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it, for whatever reason."""
        self._stop_timers()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of headers or bodies."""
        if self.transport.is_closing() or self.parser is None:
            return
        if self._in_head:
            self._pending += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if self._in_head and self._pending > self.limits.header_kb * KB:
            self._refuse(too_big(self.limits))

    def on_message_begin(self) -> None:
        """A request starts, perhaps behind another one in the same bytes."""
        self._in_head, self._head_count, self._head_bytes = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Part of it."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of them, whole."""
        self._head_count += 1
        self._count(len(name) + len(value) + PER_HEADER)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        """Raises within the parser, which ends in `send_400_response`."""
        self._head_bytes += size
        if self._head_bytes > self.limits.header_kb * KB or self._head_count > self.limits.header_count:
            self._refusal = too_big(self.limits)
            raise httptools.HttpParserError("headers")

    def on_headers_complete(self) -> None:
        """From here on the application has it."""
        self._in_head, self._pending = False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for what the parser refuses; a response that is under way cannot be refused any more."""
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.header_seconds, self._late)

    def _late(self) -> None:
        self._head_timer = None
        if self._in_head and not self._busy():
            self._refuse(too_slow(self.limits))

    def _refuse(self, refusal: Refusal) -> None:
        if self._busy():
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(refusal.raw())
            self.transport.close()

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None


def bounded(limits: LimitSettings) -> type[asyncio.Protocol]:
    """The protocol with these limits, for `uvicorn.Config(http=...)`."""
    members: dict[str, Any] = {"limits": limits}
    return type("Bounded", (BoundedProtocol,), members)
