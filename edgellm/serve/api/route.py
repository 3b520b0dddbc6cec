"""Routes on the way of tokens: documented as any of FastAPI's, and without what FastAPI does around an endpoint.

That takes 40 us a request (resolving dependencies, exit stacks, a second look at the answer), as long as a short answer takes
in the back end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgellm.serve.api import errors
from edgellm.serve.api.hangup import Hangup
from edgellm.serve.api.validation import checked

Endpoint = Callable[[Any, Request], Awaitable[Response]]


class LeanRoute(APIRoute):
    """`endpoint(asked, request)`: the checked body, and the request without it. The client is watched meanwhile."""

    def __init__(self, path: str, endpoint: Endpoint, **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        self.app = _Lean(endpoint, get_type_hints(endpoint)["asked"])


class _Lean:
    def __init__(self, endpoint: Endpoint, model: type[BaseModel]) -> None:
        self._endpoint, self._model = endpoint, model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await _read(receive)
        if raw is None:
            return
        async with Hangup(receive) as hangup:
            response = await self._answered(raw, scope)
        if not hangup.gone:
            await response(scope, receive, send)

    async def _answered(self, raw: bytes, scope: Scope) -> Response:
        try:
            return await self._endpoint(checked(self._model, raw), Request(scope))
        except Exception as error:
            return errors.failure(error, scope).response()


async def _read(receive: Receive) -> bytes | None:
    """The body; None where the client goes before it is complete."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
