"""Everything that stands between a connection and the routes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgellm.serve.limits import BoundedBody, BoundedTime, Draining, KnownHosts, SafeHeaders
from edgellm.serve.refusals import App
from edgellm.serve.security import Gate
from edgellm.serve.settings import Values


@dataclass(frozen=True, slots=True)
class Guarded:
    """An application behind all checks: cheap ones first, the body is read for who may come in only."""

    app: App
    draining: Draining
    gate: Gate


def around(app: App, values: Values, address: str, keys: Path | None) -> Guarded:
    """Guard `app`, which is listening on `address`. Raises: ConfigError for the file of keys."""
    timed = BoundedTime(app, values.limits.request_seconds)
    gate = Gate(BoundedBody(timed, values.limits), keys)
    draining = Draining(KnownHosts(gate, address, values.security.hosts))
    return Guarded(SafeHeaders(draining), draining, gate)
