"""The application with all that this service has: routes, page, figures, access log, traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from fastapi import APIRouter
from starlette.middleware import Middleware

from edgellm.serve.access import AccessLog
from edgellm.serve.api.admin import router as admin_router
from edgellm.serve.api.live import live_router
from edgellm.serve.app import create_app
from edgellm.serve.page import page_router
from edgellm.serve.parts import Life
from edgellm.serve.refusals import App
from edgellm.serve.service import EdgeService
from edgellm.serve.traces import TracedRequests

__all__ = ["EdgeService", "application"]


def application(service: Life, guard: Sequence[Middleware]) -> App:
    """What uvicorn runs. What the guard refuses is logged and counted too, so it stands inside of these."""
    layers = cast(EdgeService, service).layers  # both are of the same `parts.Parts`
    around = [Middleware(AccessLog, responded=layers.metrics.responded)]
    if layers.tracing is not None:
        around.insert(0, Middleware(TracedRequests, tracing=layers.tracing))
    routers: list[APIRouter] = [
        admin_router(service, layers.metrics, lambda: layers.cache),
        live_router(service),
    ]
    if service.values.page:
        routers.append(page_router())
    return create_app(service, [*around, *guard], routers)
