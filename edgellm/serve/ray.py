"""`edgellm serve --ray`: the same application as a deployment on a Ray cluster, as many times as the load asks for.

Replicas are independent services. Ray gives a request to the replica with the least of them under way, starts another one for
one that dies, and its proxies listen on the machines of the cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody

import ray
from ray import serve

from edgellm.errors import ConfigError, ServiceError
from edgellm.serve import parts as making
from edgellm.serve import security, sockets
from edgellm.serve.guard import Guard
from edgellm.serve.parts import Parts, alive
from edgellm.serve.refusals import App
from edgellm.serve.settings import Values

NAME = "edgellm"
HEALTH_SECONDS = 2.0


class Replica:
    """One service; Ray makes it wherever there is room."""

    async def __init__(self, settings: str, parts: Parts) -> None:  # type: ignore[misc]  # as Ray wants it
        """`settings`: Values as JSON. Raises: EdgeLLMError, which Ray reports."""
        values = Values.model_validate_json(settings)
        self._service = parts.service(values)
        await self._service.open()
        self._guard = Guard(values, values.host)
        self._app = parts.app(self._service, self._guard.middlewares())

    def __serve_build_asgi_app__(self) -> App:
        """What Ray asks for."""
        return self._app

    def check_health(self) -> None:
        """Ray replaces a replica that raises. Raises: ServiceError when no back end is alive."""
        if not alive(self._service):
            raise ServiceError("no back end of this replica is alive")

    async def __del__(self) -> None:
        """Ray has waited for the requests under way."""
        await self._service.close()


def deployment(values: Values, parts: Parts) -> Any:
    """The application for `serve.run`."""
    settings = values.ray
    options: dict[str, Any] = {
        "name": NAME,
        "autoscaling_config": {
            "min_replicas": settings.least_replicas,
            "initial_replicas": settings.least_replicas,
            "max_replicas": max(settings.least_replicas, settings.most_replicas),
            "target_ongoing_requests": settings.target_requests,
        },
        # the service itself says 429 when it is full
        "max_ongoing_requests": 2 * values.queue.most_requests,
        "ray_actor_options": {"num_cpus": settings.cpus},
        "graceful_shutdown_timeout_s": values.drain_seconds,
        "health_check_period_s": HEALTH_SECONDS,
        "health_check_timeout_s": 5 * HEALTH_SECONDS,
        "logging_config": {"enable_access_log": False},  # the service has its own
    }
    if settings.spread:
        options["max_replicas_per_node"] = 1
    made = serve.deployment(**options)(serve.ingress()(Replica))
    return made.bind(values.model_dump_json(), parts)


def check(values: Values) -> None:
    """Raises ConfigError for what Ray's proxies cannot do."""
    security.check_exposed(values, values.host)
    if values.security.tls_certificate or values.security.tls_key:
        raise ConfigError(
            "Ray's proxies speak plain HTTP: leave out security.tls_*, or put deploy/nginx.conf in front"
        )


def start(values: Values, parts: Parts) -> str:
    """Deploy on the cluster that this process is connected to; where it listens."""
    with contextlib.closing(sockets.bind(values.host, values.port)) as bound:
        port = bound.getsockname()[1]  # free now
        url = sockets.url(bound, "http")
    location = "HeadOnly" if values.ray.proxies == "head" else "EveryNode"
    options = {
        "host": values.host,
        "port": port,
        "request_timeout_s": values.limits.request_seconds,
        "keep_alive_timeout_s": int(values.limits.keep_alive_seconds) or 1,
    }
    serve.start(proxy_location=location, http_options=options)
    serve.run(deployment(values, parts), name=NAME, route_prefix="/")
    return url


def run(values: Values, parts: Parts | None = None) -> int:
    """Serve until a signal; the exit code. Raises: ConfigError, ServiceError."""
    check(values)
    try:
        ray.init(values.ray.address or None, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ServiceError(
            f"Ray cannot be started or reached at {values.ray.address or 'this machine'}: {error}"
        ) from error
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        url = start(values, parts or making.real())
        names = ", ".join(model.name or model.path for model in values.models)
        sys.stdout.write(f"edgellm serves {names} on Ray at {url}\n")
        sys.stdout.flush()
        over.wait()
        serve.delete(NAME)
    finally:
        if not values.ray.address:
            serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()  # type: ignore[no-untyped-call]
    return 0
