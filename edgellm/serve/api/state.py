"""What a supervisor asks: is it alive, is it ready, what is it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edgellm import __version__
from edgellm.serve.api.bodies import Body, json
from edgellm.serve.api.schemas.replies import Health, Ready, Version
from edgellm.serve.served import Service

ALIVE = b'{"status":"ok"}'
router = APIRouter(tags=["state"])


@router.get("/health", response_model=Health)
async def health() -> Response:
    """The event loop turns; no back end is asked."""
    return Body(ALIVE)


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready, "description": "not now"}})
async def ready(request: Request) -> Response:
    """Whether models are loaded and back ends work."""
    service: Service = request.app.state.service
    found = service.readiness()
    return json({"ready": found.ready, "reasons": found.reasons}, 200 if found.ready else 503)


@router.get("/version", response_model=Version)
async def version() -> Response:
    """What runs."""
    return json({"name": "edgellm", "version": __version__})
