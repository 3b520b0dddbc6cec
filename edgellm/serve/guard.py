"""Everything that stands between a connection and the routes."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware

from edgellm.serve.limits import BoundedBody, BoundedTime, Drain, Draining, KnownHosts, SafeHeaders
from edgellm.serve.refusals import App
from edgellm.serve.security import Admission, Gate
from edgellm.serve.settings import Values


class Guard:
    """The checks of a service that is listening on an address, and what of them changes while it runs."""

    def __init__(self, values: Values, address: str) -> None:
        """Raises: ConfigError for the file of keys."""
        self._values, self._address = values, address
        self.admission, self.drain = Admission(values.security.keys), Drain()

    def middlewares(self) -> list[Middleware]:
        """The outermost first: the cheap ones, and a body is read for those who may come in only."""
        limits, hosts = self._values.limits, self._values.security.hosts
        parts: list[tuple[Any, ...]] = [
            (SafeHeaders,),
            (Draining, self.drain),
            (KnownHosts, self._address, hosts),
            (Gate, self.admission),
            (BoundedBody, limits),
            (BoundedTime, limits.request_seconds),
        ]
        return [Middleware(kind, *arguments) for kind, *arguments in parts]

    def around(self, app: App) -> App:
        """All of them around an application."""
        made: Any = app
        for middleware in reversed(self.middlewares()):
            made = middleware.cls(made, *middleware.args, **middleware.kwargs)
        return made  # type: ignore[no-any-return]
