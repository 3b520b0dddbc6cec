"""ASGI middlewares that bound what a request may bring and take, and say to browsers what they may do with the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio

from edgellm.serve.protocol import KB
from edgellm.serve.refusals import App, Message, Receive, Refusal, Scope, Send
from edgellm.serve.security import is_loopback
from edgellm.serve.settings import LimitSettings

LINGER_SECONDS, LINGER_BYTES = 2.0, 1 << 20
RETRY_SECONDS = 5
PROBES = frozenset({"/health", "/ready", "/metrics"})  # answered while the service drains
POLICY = b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
EVERYWHERE = ((b"x-content-type-options", b"nosniff"),)
PAGES = (
    *EVERYWHERE,
    (b"content-security-policy", POLICY),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
DRAINING = Refusal(
    503, "shutting_down", "the service is shutting down: come again", RETRY_SECONDS, close=True
)
OVERDUE = "the request was not answered within {:g} s"


class SafeHeaders:
    """What browsers need to know of every response; none of them says that other origins may read it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        added = EVERYWHERE if scope["path"].startswith("/v1/") else PAGES

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = message.get("headers", ())
                names = {name for name, _ in there}
                message["headers"] = [*there, *(header for header in added if header[0] not in names)]
            await send(message)

        return await self._app(scope, receive, sending)


@dataclass(slots=True)
class Drain:
    """Whether there are to be no more requests."""

    on: bool = False


class Draining:
    """Refuses new requests once the service is to end; uvicorn waits for those under way."""

    def __init__(self, app: App, drain: Drain) -> None:
        self._app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self._drain.on and scope["type"] == "http" and scope["path"] not in PROBES:
            return await DRAINING.send(send)
        return await self._app(scope, receive, send)


class KnownHosts:
    """Refuses requests by another name (DNS rebinding) and from pages of another origin."""

    def __init__(self, app: App, address: str, hosts: Sequence[str]) -> None:
        """`address`: listened on; beyond this machine any name will do, unless `hosts` are given."""
        self._app = app
        known = {host.lower() for host in hosts}
        self._known = known | LOCAL_NAMES | {address} if known or is_loopback(address) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        refusal = self._against(scope) if scope["type"] == "http" else None
        return await (refusal.send(send) if refusal else self._app(scope, receive, send))

    def _against(self, scope: Scope) -> Refusal | None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or len(origins) > 1:
            return Refusal(
                400, "invalid_host", "a request has one Host header and at most one Origin", close=True
            )
        name = _hostname(f"//{hosts[0]}")
        if self._known is not None and name not in self._known:
            message = f"the service is not known as {hosts[0]!r}: add the name to security.hosts"
            return Refusal(403, "host_not_allowed", message, close=True)
        if origins and urlsplit(origins[0]).netloc.lower() != hosts[0].lower():
            return Refusal(
                403, "origin_not_allowed", "pages of other origins may not use the service", close=True
            )
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class BoundedBody:
    """Reads the body before anything is done for it: within its size and its time."""

    def __init__(self, app: App, limits: LimitSettings) -> None:
        self._app, self._most, self._seconds = app, limits.body_kb * KB, limits.body_seconds
        self._too_big = Refusal(
            413, "body_too_large", f"the request's body is longer than {limits.body_kb} KB", close=True
        )
        self._too_slow = Refusal(
            408, "body_too_slow", f"the request's body did not come within {self._seconds:g} s", close=True
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = _length(scope)
        if length is None:
            return await self._app(scope, receive, send)
        if length > self._most:
            return await _linger(self._too_big, receive, send)
        with anyio.move_on_after(self._seconds) as timed:
            body, whole = await self._read(receive)
        if timed.cancelled_caught:
            return await self._too_slow.send(send)
        if body is None:
            return None
        if len(body) <= self._most:
            return await self._app(scope, _replay(body, receive), send)
        return await (self._too_big.send(send) if whole else _linger(self._too_big, receive, send))

    async def _read(self, receive: Receive) -> tuple[bytes | None, bool]:
        """The body, as far as it may go, and whether that is all; None when the client has gone."""
        parts, size, more = [], 0, True
        while more and size <= self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None, True
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
        return b"".join(parts), not more


def _length(scope: Scope) -> int | None:
    """What the headers say of a body: its bytes, 0 where they come in chunks, None where there is none."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value) or None
        if name == b"transfer-encoding":
            return 0
    return None


async def _linger(refusal: Refusal, receive: Receive, send: Send) -> None:
    """Answer while the client still sends, and take some more of it: a reset connection would lose the answer."""
    await refusal.send(send, more=True)
    left = LINGER_BYTES
    with anyio.move_on_after(LINGER_SECONDS):
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body at once, then whatever comes."""
    read = False

    async def replaying() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replaying


class BoundedTime:
    """Ends what takes longer than any request may: with 504, or by closing a response that has begun."""

    def __init__(self, app: App, seconds: float) -> None:
        self._app, self._seconds = app, seconds
        self._refusal = Refusal(504, "request_timeout", OVERDUE.format(seconds), close=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        with anyio.move_on_after(self._seconds) as scoped:
            await self._app(scope, receive, sending)
        if scoped.cancelled_caught and not begun:
            await self._refusal.send(send)
        return None
