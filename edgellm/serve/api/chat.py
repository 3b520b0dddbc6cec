"""POST /v1/chat/completions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edgellm.serve.api import generation, options, prompts
from edgellm.serve.api.described import streamed
from edgellm.serve.api.route import LeanRoute
from edgellm.serve.api.schemas.replies import ChatChunk, ChatReply
from edgellm.serve.api.schemas.requests import ChatRequest
from edgellm.serve.api.shapes import ChatShape
from edgellm.serve.served import Service

router = APIRouter(route_class=LeanRoute, tags=["OpenAI"])


@router.post("/v1/chat/completions", response_model=ChatReply, responses=streamed(ChatChunk))
async def chat(asked: ChatRequest, request: Request) -> Response:
    """Answer one user message in the model's template."""
    service: Service = request.app.state.service
    served = service.get(asked.model)
    generation.note_user(request, asked.user)
    params = options.of(asked, served.settings.truncate)
    count = options.check_counts(asked, 1, service.values)
    order = generation.order(params, request, options.may_come_again(asked), whole=not asked.stream)
    found = await prompts.of_chat(served.model, asked, params, served.settings.history)
    shape = ChatShape(served, bool(asked.stream_options and asked.stream_options.include_usage))
    wanted = generation.tasks(served, [found], order, count)
    return await generation.response(served, wanted, shape, bool(asked.stream))
