"""Server-sent events: the pieces of answers as they come.

sse-starlette starts three tasks and a ping timer a stream; this one has the watch over the client, and nothing else.
"""

from __future__ import annotations

from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgellm.serve.api import errors
from edgellm.serve.api.answers import Piece, Pieces
from edgellm.serve.api.hangup import Hangup
from edgellm.serve.api.shapes import Shape

MEDIA_TYPE = "text/event-stream"
HEADERS = [
    (b"content-type", MEDIA_TYPE.encode() + b"; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx passes chunks on as they come
]


class Events(Response):
    """A stream whose first piece has come: until then a status could still be sent."""

    def __init__(self, shape: Shape, first: Piece, pieces: Pieces, tasks: int) -> None:
        """`pieces`: those behind the first one, of so many tasks."""
        self._shape, self._first, self._pieces, self._left = shape, first, pieces, tasks
        self.status_code, self.background = 200, None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Hangup(receive) as hangup, aclosing(self._pieces):
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            last = await self._sent(scope, send)
        if not hangup.gone:
            await send({"type": "http.response.body", "body": last})

    async def _sent(self, scope: Scope, send: Send) -> bytes:
        """Send all but the end, which comes back."""
        try:
            chunk = self._chunk(self._first)
            while self._left:
                if chunk:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = self._chunk(await anext(self._pieces))
            return chunk + self._shape.closing()
        except Exception as error:
            return errors.failure(error, scope).event()

    def _chunk(self, piece: Piece) -> bytes:
        self._left -= piece.finish is not None
        return self._shape.chunk(piece)
