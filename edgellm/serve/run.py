"""The service as a process: uvicorn on a checked address, and what signals make of it.

SIGTERM or SIGINT: no new requests, those under way finish, exit 0; a second one: at once, exit 1. SIGHUP: models, keys and
certificate anew, without dropping a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn

from edgellm.errors import EdgeLLMError
from edgellm.serve import logs, protocol, security, sockets, tls
from edgellm.serve import parts as making
from edgellm.serve.guard import Guard
from edgellm.serve.notify import Notifier
from edgellm.serve.parts import Parts, alive
from edgellm.serve.refusals import App
from edgellm.serve.settings import Values

OK, FORCED = 0, 1
FINISH_SECONDS = 5.0  # to send what drained answers have still to say
CLOSE_SECONDS = 2.0  # for back ends, when it has to be at once
KEPT = ("host", "port", "limits", "ray", "page", "log")  # what only a restart changes
log = logging.getLogger("edgellm.serve")


class Server(uvicorn.Server):
    """uvicorn with the service's life around it."""

    def __init__(
        self, values: Values, read: Callable[[], Values], parts: Parts, bound: socket.socket
    ) -> None:
        """`read` gives the settings anew; `bound` is not listening yet. Raises: ConfigError."""
        self._values, self._read, self._bound = values, read, bound
        address = sockets.address(bound)
        security.check_exposed(values, address)
        self._tls = tls.of(values.security)
        self._service = parts.service(values)
        self._guard = Guard(values, address)
        app = parts.app(self._service, self._guard.middlewares())
        super().__init__(_config(values, app, self._tls))
        self._notifier = Notifier()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._stopping = False
        self.forced = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return sockets.url(self._bound, "https" if self._tls else "http")

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until a signal. Raises: EdgeLLMError when the models cannot be loaded."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._start, self._reload)
        opening = self._start(self._service.open)
        try:
            await asyncio.wait([opening])
            if not opening.cancelled():
                opening.result()
                await self._serve([self._bound])
        finally:
            await self._close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is loaded stays: no collection looks at it while somebody waits
            names = ", ".join(served.name for served in self._service.models())
            sys.stdout.write(f"edgellm serves {names} at {self.url}\n")
            sys.stdout.flush()
            self._notifier.ready(self.url)
            self._start(lambda: self._notifier.watch(lambda: alive(self._service)))

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop(self) -> None:
        """A signal to end."""
        if self._stopping:
            self.forced = self.force_exit = self.should_exit = True
        if not self.started or self.forced:
            for task in self._tasks:
                task.cancel()
        elif not self._stopping:
            self._start(self._drain)
        self._stopping = True

    async def _drain(self) -> None:
        seconds = self._values.drain_seconds
        self._notifier.stopping(seconds + 2 * FINISH_SECONDS)
        self._guard.drain.on = True
        for server in self.servers:
            server.close()
        try:
            if not await self._service.drain(seconds):
                log.warning("answers that were not done within %g s end with an error", seconds)
                await self._service.close()
        finally:
            self.should_exit = True

    async def _reload(self) -> None:
        async with self._reloading:
            self._notifier.reloading()
            try:
                await self._take(await asyncio.to_thread(self._read))
                log.info("reloaded")
            except (EdgeLLMError, OSError) as error:
                log.error("reload failed, what it concerns stays as it was: %s", error)
            finally:
                self._notifier.ready(self.url)

    async def _take(self, values: Values) -> None:
        """Keys and certificate first: a broken model must not keep a stolen key alive."""
        security.check_exposed(values, sockets.address(self._bound))
        self._guard.admission.reload(values.security.keys)
        if self._tls:
            self._tls.reload()
        for name in KEPT:
            if getattr(values, name) != getattr(self._values, name):
                log.warning("%s has changed: restart the service for it", name)
        await self._service.reload(values)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        closing = self._service.close()
        try:
            await (asyncio.wait_for(closing, CLOSE_SECONDS) if self.forced else closing)
        except asyncio.TimeoutError:
            log.error("back ends did not close within %g s", CLOSE_SECONDS)


def _config(values: Values, app: App, secured: tls.TLS | None) -> uvicorn.Config:
    proxies = list(values.security.trusted_proxies)
    return uvicorn.Config(
        app,
        http=protocol.bounded(values.limits),
        ws="none",
        lifespan="auto",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        backlog=sockets.BACKLOG,
        timeout_keep_alive=int(values.limits.keep_alive_seconds) or 1,
        timeout_graceful_shutdown=int(FINISH_SECONDS),
        ssl_context_factory=(lambda config, default: secured.context) if secured else None,
    )


def run(values: Values, read: Callable[[], Values], parts: Parts | None = None) -> int:
    """Serve until a signal; the exit code. Raises: EdgeLLMError when it cannot begin."""
    logs.set_up(values.log)
    with contextlib.closing(sockets.bind(values.host, values.port)) as bound:
        server = Server(values, read, parts or making.real(), bound)
        server.run()
    return FORCED if server.forced else OK
