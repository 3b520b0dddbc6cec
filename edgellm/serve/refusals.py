"""Answers given before a request reaches the routes, in the shape of OpenAI's errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served."""

    status: int
    code: str  # for programs
    message: str
    retry_after: int | None = None  # s
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False  # the connection with it: what comes next on it cannot be told

    def body(self) -> bytes:
        """JSON."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == HTTPStatus.TOO_MANY_REQUESTS else kind
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()

    def head(self, body: bytes) -> Headers:
        """Headers of the response."""
        made = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *self.headers]
        if self.retry_after is not None:
            made.append((b"retry-after", b"%d" % self.retry_after))
        if self.close:
            made.append((b"connection", b"close"))
        return made

    async def send(self, send: Send, more: bool = False) -> None:
        """As ASGI messages; with `more` the response is not over yet, although the client has all of it."""
        body = self.body()
        await send({"type": "http.response.start", "status": self.status, "headers": self.head(body)})
        await send({"type": "http.response.body", "body": body, "more_body": more})

    def raw(self) -> bytes:
        """As bytes, for a connection without ASGI."""
        body = self.body()
        line = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        return line + b"".join(b"%s: %s\r\n" % header for header in self.head(body)) + b"\r\n" + body
