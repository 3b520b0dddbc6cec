"""GET /v1/models: what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edgellm.runtime.model import Model
from edgellm.serve.api.bodies import json
from edgellm.serve.api.described import ERRORS
from edgellm.serve.api.schemas.replies import ModelReply, ModelsReply
from edgellm.serve.served import Served, Service

router = APIRouter(tags=["OpenAI"], responses={status: ERRORS[status] for status in (401, 404)})


@router.get("/v1/models", response_model=ModelsReply)
async def models(request: Request) -> Response:
    """All models, in the order of the configuration."""
    service: Service = request.app.state.service
    return json({"object": "list", "data": [_card(served) for served in service.models()]})


@router.get("/v1/models/{name:path}", response_model=ModelReply)
async def model(name: str, request: Request) -> Response:
    """One model."""
    service: Service = request.app.state.service
    return json(_card(service.get(name)))


def has_intents(model: Model) -> bool:
    """Whether answers are an intent, slots and a reply: such a model has been measured by its intents."""
    scores: Mapping[str, Mapping[str, Any]] = model.manifest.metrics.get("integer", {})
    return any("intent" in found for found in scores.values())


def _card(served: Served) -> dict[str, Any]:
    model = served.model
    return {
        "id": served.name,
        "object": "model",
        "created": int(served.loaded),
        "owned_by": "edgellm",
        "edgellm": {
            "description": model.manifest.description,
            "digest": served.digest,
            "context": model.context,
            "vocab": model.vocab,
            "intents": has_intents(model),
            "backends": [worker.backend for worker in served.workers],
        },
    }
