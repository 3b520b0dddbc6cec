"""One line of the log a request. Streams pass through as they come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgellm.serve import notes
from edgellm.serve.notes import Note

QUIET = frozenset({"/health", "/ready", "/metrics"})  # asked again and again: told at level debug
UNKNOWN = "(no route)"  # in place of a path that the client made up
_log = structlog.get_logger("edgellm.access")


class AccessLog:
    """ASGI middleware, inside of the one that gives requests their ids.

    A line has method, route, status, seconds, the client's name, and what was noted meanwhile (`notes`): tokens and where they
    came from. It has no query, header, body or text, and the path only as its route is written.
    """

    def __init__(
        self,
        app: ASGIApp,
        responded: Callable[[int], None] = lambda status: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`responded` is told the status of each response."""
        self._app, self._responded, self._clock = app, responded, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI's applications."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        line = _Line(scope, self._clock())

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
                self._responded(line.status)
            elif message["type"] == "http.response.body":
                line.whole = not message.get("more_body", False)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=line.request_id):
            try:
                await self._app(scope, receive, tell)
            except BaseException as error:
                line.error = type(error).__name__
                raise
            finally:
                line.write(self._clock())


class _Line:
    """What is known of a request so far."""

    def __init__(self, scope: Scope, begun: float) -> None:
        self._scope, self._begun, self._notes = scope, begun, notes.begin()
        self.status, self.whole, self.error = 0, False, ""

    @property
    def request_id(self) -> str:
        """As the client or the service chose it."""
        return str(self._scope.get("state", {}).get("request_id", ""))

    def write(self, now: float) -> None:
        """Log it."""
        path = str(getattr(self._scope.get("route"), "path", UNKNOWN))
        level = logging.DEBUG if path in QUIET and self.status == 200 else logging.INFO
        fields: dict[str, Note] = {
            "method": self._scope["method"],
            "path": path,
            "status": self.status,
            "seconds": round(now - self._begun, 6),
            **self._notes,
        }
        if client := self._scope.get("state", {}).get("client"):
            fields["client"] = client
        if self.error:
            fields["error"] = self.error
        elif not self.whole:
            fields["cut"] = True  # the client went before the end
        _log.log(level, "request", **fields)
