"""Who may use the service: Bearer keys, checked once with argon2 and then by a keyed digest.

Everything needs a key but what tells whether the service is alive and the files of the page. Without a keys file nothing
does, and the service listens on this machine alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import argon2
from cachetools import LRUCache

from edgellm.errors import ConfigError
from edgellm.serve import keys
from edgellm.serve.keys import Key
from edgellm.serve.refusals import App, Receive, Refusal, Scope, Send
from edgellm.serve.settings import Values

OPEN = frozenset({"/", "/health", "/ready", "/favicon.ico"})  # for everybody, to look at
OPEN_FOLDERS = ("/web/",)
ADMIN = "/admin"
MOST_WAITING = 8  # keys that wait for argon2
REFUSED_KEPT = 1_024  # keys that argon2 has refused
MINUTE = 60.0
CHALLENGE = ((b"www-authenticate", b"Bearer"),)
MISSING = Refusal(
    401,
    "missing_api_key",
    "there is no API key: send it as Authorization: Bearer elm_...",
    headers=CHALLENGE,
    close=True,
)
WRONG = Refusal(401, "invalid_api_key", "the API key is not known here", headers=CHALLENGE, close=True)
NOT_ADMIN = Refusal(
    403, "admin_key_needed", f"{ADMIN} needs a key made with `edgellm keys add NAME --admin`", close=True
)
BUSY = Refusal(429, "too_many_new_keys", "too many keys are being checked: come again", 1, close=True)


class Keys:
    """The keys of a file, and which texts have turned out to be one of them."""

    def __init__(self, known: Mapping[str, Key]) -> None:
        """`known`: by id."""
        self._known, self._secret = known, os.urandom(32)
        self._verified: dict[str, bytes] = {}  # id -> digest of its key
        self._refused: LRUCache[bytes, None] = LRUCache(REFUSED_KEPT)
        self._checking: dict[bytes, asyncio.Future[bool]] = {}
        self._one = asyncio.Semaphore(1)

    @classmethod
    def of(cls, path: Path) -> Keys:
        """Raises: ConfigError, also for a file without keys."""
        known = {key.id: key for key in keys.read(path)}
        if not known:
            raise ConfigError(
                f"{path} has no keys, so that nobody could use the service: edgellm keys add NAME"
            )
        return cls(known)

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, text: str) -> Key | Refusal:
        """Whose key a text is. A text that is none costs microseconds, unless it has the id of a key not yet seen."""
        match = keys.FORM.fullmatch(text)
        key = self._known.get(match[1]) if match else None
        if key is None:
            return WRONG
        digest = hashlib.blake2b(text.encode(), key=self._secret).digest()
        if verified := self._verified.get(key.id):
            return key if hmac.compare_digest(verified, digest) else WRONG
        if digest in self._refused:
            return WRONG
        return await self._first(key, text, digest)

    async def _first(self, key: Key, text: str, digest: bytes) -> Key | Refusal:
        """Ask argon2, off the event loop and one at a time; requests with the same text ask together."""
        if digest not in self._checking:
            if len(self._checking) >= MOST_WAITING:
                return BUSY
            self._checking[digest] = asyncio.ensure_future(self._verify(key, text, digest))
        good = await asyncio.shield(self._checking[digest])
        return key if good else WRONG

    async def _verify(self, key: Key, text: str, digest: bytes) -> bool:
        try:
            async with self._one:
                if key.id in self._verified:  # by another text, meanwhile
                    return False
                good = await asyncio.to_thread(_matches, key.hash, text)
        finally:
            del self._checking[digest]
        if good:
            self._verified[key.id] = digest
        else:
            self._refused[digest] = None
        return good


def _matches(hashed: str, text: str) -> bool:
    try:
        return keys.HASHER.verify(hashed, text)
    except (argon2.exceptions.VerifyMismatchError, argon2.exceptions.InvalidHashError):
        return False


class Rates:
    """Requests a minute, by name: each has a bucket that fills evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # name -> requests left, when

    def take(self, key: Key) -> float:
        """Seconds to wait before the next request; 0: it was taken."""
        if key.limit is None:
            return 0.0
        now = self._clock()
        left, when = self._buckets.get(key.name, (float(key.limit), now))
        left = min(float(key.limit), left + (now - when) * key.limit / MINUTE)
        taken = left >= 1.0
        self._buckets[key.name] = (left - 1.0 if taken else left, now)
        return 0.0 if taken else (1.0 - left) * MINUTE / key.limit


class Admission:
    """Who may come in."""

    def __init__(self, path: Path | None) -> None:
        """`path`: of the keys; None: everybody may do everything. Raises: ConfigError."""
        self._keys = Keys.of(path) if path else None
        self._rates = Rates()

    def reload(self, path: Path | None) -> None:
        """Take the keys as they are now; on ConfigError the old ones stay."""
        self._keys = Keys.of(path) if path else None

    async def client(self, scope: Scope) -> str | Refusal:
        """The client's name: of its key, empty without one."""
        if self._keys is None or is_open(scope):
            return ""
        text = bearer(scope)
        if text is None:
            return MISSING
        key = await self._keys.find(text)
        if isinstance(key, Refusal):
            return key
        if not key.admin and is_admin(scope["path"]):
            return NOT_ADMIN
        wait = self._rates.take(key)
        return _too_many(key, wait) if wait else key.name


class Gate:
    """ASGI middleware: lets requests with a key in, and puts its name in `request.state.client`."""

    def __init__(self, app: App, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = await self._admission.client(scope)
        if isinstance(answer, Refusal):
            return await answer.send(send)
        scope.setdefault("state", {})["client"] = answer
        return await self._app(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether a request needs no key."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    path: str = scope["path"]
    return path in OPEN or (path.startswith(OPEN_FOLDERS) and ".." not in path)


def is_admin(path: str) -> bool:
    """Whether a path is for administrators."""
    return path == ADMIN or path.startswith(ADMIN + "/")


def bearer(scope: Scope) -> str | None:
    """What the request gives as its key: of one Authorization header, and one only."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    kind, _, text = (found[0] if len(found) == 1 else b"").partition(b" ")
    return text.strip().decode("latin-1") if kind.lower() == b"bearer" else None


def _too_many(key: Key, wait: float) -> Refusal:
    return Refusal(
        429,
        "rate_limit_exceeded",
        f"key {key.name} may make {key.limit} requests a minute",
        int(wait) + 1,
        close=True,
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_exposed(values: Values, address: str) -> None:
    """Raises ConfigError where other machines could use the service without a key."""
    if values.security.keys is None and not is_loopback(address):
        raise ConfigError(
            f"listening on {address} needs API keys, or whoever reaches this machine could use the service: "
            "make one with `edgellm keys add NAME` and give --keys FILE (security.keys), or listen on 127.0.0.1"
        )
