"""POST /v1/intent: what a person said to their home, as an intent with slots, and what to reply.

The answer also has the fields of Home Assistant's conversation response, so that an agent there hands it on as it is. Nothing
is switched here: whoever asks carries the intent out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import BadRequest
from edgellm.evaluation import answers
from edgellm.runtime.completion import Writing
from edgellm.runtime.params import Options, Params
from edgellm.serve.api import generation, prompts
from edgellm.serve.api.bodies import json
from edgellm.serve.api.described import ERRORS
from edgellm.serve.api.models import has_intents
from edgellm.serve.api.route import LeanRoute
from edgellm.serve.api.schemas.replies import IntentReply
from edgellm.serve.api.schemas.requests import IntentRequest
from edgellm.serve.api.shapes import extension
from edgellm.serve.served import Served, Service

LANGUAGE = "en"
router = APIRouter(route_class=LeanRoute, tags=["home"])


@router.post("/v1/intent", response_model=IntentReply, responses=ERRORS)
async def intent(asked: IntentRequest, request: Request) -> Response:
    """Intent, slots and reply of a command; always the likeliest answer."""
    service: Service = request.app.state.service
    served = _served(service, asked.model)
    params = Params.of(
        Options(truncate=served.settings.truncate, deadline=asked.deadline, priority=asked.priority or 0)
    )
    order = generation.order(params, request, whole=True)
    prompt = await prompts.of_text(served.model, asked.text, params, "text")
    writing = Writing(
        served.model.name, served.model.tokenizer, params
    )  # post-processors would change the form
    task = generation.task(writing, replace(order, prompt=prompt))
    [(_, finish)] = await generation.finished(served, [task])
    found = answers.parse(finish.completion.text)
    return json(_reply(found, asked) | {"model": served.name, "edgellm": extension(finish, task)})


def _served(service: Service, name: str | None) -> Served:
    """The model to ask. Raises: ModelNotFound, BadRequest where its answers are no intents."""
    if name is not None:
        served = service.get(name)
        if not has_intents(served.model):
            raise BadRequest(
                f"model is {name!r}, whose answers are no intents: /v1/models tells which ones' are", "model"
            )
        return served
    for served in service.models():
        if has_intents(served.model):
            return served
    raise BadRequest("no served model's answers are intents: serve one of the home models", "model")


def _reply(found: answers.Answer, asked: IntentRequest) -> dict[str, Any]:
    language = asked.language or LANGUAGE
    data: dict[str, Any] = {"targets": [], "success": [], "failed": []}
    if not found.intent:
        data = {"code": "no_intent_match"}
    return {
        "intent": found.intent,
        "slots": dict(found.slots),
        "reply": found.reply,
        "language": language,
        "conversation_id": asked.conversation_id,
        "continue_conversation": False,
        "response": {
            "response_type": "action_done" if found.intent else "error",
            "language": language,
            "speech": {"plain": {"speech": found.reply, "extra_data": None}},
            "card": {},
            "data": data,
        },
    }
