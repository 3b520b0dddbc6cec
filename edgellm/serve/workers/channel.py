"""Messages between the service and a worker's process: frames of JSON on a pair of sockets, many messages in one.

A frame is its length (4 bytes, big endian) and a JSON array of messages; a message is an array that begins with its kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import orjson

MOST_BYTES = 64 << 20  # of a frame
HEAD = 4
OPTIONS = orjson.OPT_NON_STR_KEYS
Message = list[Any]


class Channel(asyncio.Protocol):
    """One end. What is sent within a turn of the event loop goes together."""

    def __init__(self, took: Callable[[Message], None], lost: Callable[[str], None]) -> None:
        """`took` gets each message; `lost` is called once, with the reason, when no more can come."""
        self._took, self._lost = took, lost
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._in = bytearray()
        self._why = "the other end is gone"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pair is connected from the beginning."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The other end has been closed, or this one."""
        self._transport = None
        self._lost(self._why)

    def send(self, message: Message) -> None:
        """Put a message into the next frame; it gets lost where nobody listens any more.

        Raises: TypeError for what JSON does not have, ValueError for what is too long.
        """
        data = orjson.dumps(message, option=OPTIONS)
        if len(data) + 2 > MOST_BYTES:
            raise ValueError(f"a message has {len(data)} bytes, and {MOST_BYTES - 2} may go")
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        messages, self._out = self._out, []
        if self._transport is None:
            return
        frame = b"[" + b",".join(messages) + b"]"
        if len(frame) <= MOST_BYTES:
            self._transport.write(len(frame).to_bytes(HEAD, "big") + frame)
        else:
            for message in messages:
                self._transport.write((len(message) + 2).to_bytes(HEAD, "big") + b"[" + message + b"]")

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole."""
        self._in += data
        while len(self._in) >= HEAD and self._transport is not None:
            length = int.from_bytes(self._in[:HEAD], "big")
            if length > MOST_BYTES:
                self.abort(f"a frame of {length} bytes came, and {MOST_BYTES} may")
            if len(self._in) < HEAD + length:
                break
            frame = bytes(memoryview(self._in)[HEAD : HEAD + length])
            del self._in[: HEAD + length]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        try:
            for message in orjson.loads(frame):
                self._took(message)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self.abort(f"a message makes no sense ({type(error).__name__}: {error})")

    def abort(self, why: str = "closed here") -> None:
        """Close without sending what is left; `lost` is called with this reason."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
