"""POST /v1/completions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edgellm.serve.api import generation, options, prompts
from edgellm.serve.api.described import streamed
from edgellm.serve.api.route import LeanRoute
from edgellm.serve.api.schemas.replies import CompletionChunk, CompletionReply
from edgellm.serve.api.schemas.requests import CompletionRequest
from edgellm.serve.api.shapes import CompletionShape
from edgellm.serve.served import Service

router = APIRouter(route_class=LeanRoute, tags=["OpenAI"])


@router.post("/v1/completions", response_model=CompletionReply, responses=streamed(CompletionChunk))
async def complete(asked: CompletionRequest, request: Request) -> Response:
    """Continue prompts: a text in the model's template, or token ids as they are."""
    service: Service = request.app.state.service
    served = service.get(asked.model)
    generation.note_user(request, asked.user)
    params = options.of(asked, served.settings.truncate)
    count = options.check_counts(asked, prompts.count(asked), service.values)
    order = generation.order(params, request, options.may_come_again(asked), whole=not asked.stream)
    found = await prompts.of_completion(served.model, asked, params)
    shape = CompletionShape(served, bool(asked.stream_options and asked.stream_options.include_usage))
    wanted = generation.tasks(served, found, order, count)
    return await generation.response(served, wanted, shape, bool(asked.stream))
