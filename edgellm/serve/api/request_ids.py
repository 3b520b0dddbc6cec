"""Every request has an id: the client's, if it is a decent one, or a new one. It comes back, and is in every line of the log."""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_DECENT = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Middleware: `scope["state"]["request_id"]`, and the header X-Request-Id of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        own = given if _DECENT.fullmatch(given) else b"req-" + secrets.token_hex(12).encode()
        scope.setdefault("state", {})["request_id"] = own.decode("ascii")

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, own)]
            await send(message)

        await self._app(scope, receive, tell)
