"""From what a request has to prompt tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgellm.errors import BadRequest, PromptError
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.api.errors import TABLE
from edgellm.serve.api.schemas.requests import ChatRequest, CompletionRequest, Message

LONG = 4096  # characters from which on a thread reads the text: about a millisecond


async def of_text(model: Model, text: str, params: Params, field: str) -> tuple[int, ...]:
    """A text in the model's template. Raises: BadRequest naming the field."""
    try:
        if len(text) < LONG:
            return tuple(model.prepared(text, params))
        return tuple(await asyncio.to_thread(model.prepared, text, params))
    except PromptError as error:
        code = next(code for kind, _, _, code in TABLE if isinstance(error, kind))
        raise BadRequest(str(error), field, code) from None


def of_tokens(model: Model, tokens: Sequence[int], field: str) -> tuple[int, ...]:
    """Token ids as they are: no template, no truncation. Raises: BadRequest naming the field."""
    if model.chains.filters:
        raise BadRequest(f"{field} has token ids, which this service's filters cannot read: send text", field)
    if len(tokens) > model.context:
        raise BadRequest(
            f"{field} has {len(tokens)} tokens and the context holds {model.context}: shorten it",
            field,
            "context_length_exceeded",
        )
    if wrong := [token for token in tokens if token >= model.vocab]:
        raise BadRequest(
            f"{field} has token {wrong[0]}; the vocabulary has tokens 0..{model.vocab - 1}", field
        )
    return tuple(tokens)


async def of_completion(model: Model, asked: CompletionRequest, params: Params) -> list[tuple[int, ...]]:
    """All prompts of a request. Raises: BadRequest."""
    given = asked.prompt
    if isinstance(given, str):
        return [await of_text(model, given, params, "prompt")]
    if not given:
        raise BadRequest("prompt is []: give at least one text", "prompt")
    if isinstance(given[0], int):
        return [of_tokens(model, given, "prompt")]  # type: ignore[arg-type]
    return [
        await of_text(model, one, params, f"prompt[{number}]")
        if isinstance(one, str)
        else of_tokens(model, one, f"prompt[{number}]")  # type: ignore[arg-type]
        for number, one in enumerate(given)
    ]


def count(asked: CompletionRequest) -> int:
    """How many prompts a request has."""
    given = asked.prompt
    return len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1


async def of_chat(model: Model, asked: ChatRequest, params: Params, history: str) -> tuple[int, ...]:
    """The user message that is to be answered. Raises: BadRequest naming the message."""
    number = _answered(asked.messages, history)
    message, field = asked.messages[number], f"messages[{number}].content"
    if message.content is None:
        raise BadRequest(f"{field} is missing", field, "missing_required_parameter")
    return await of_text(model, _text(message.content), params, field)


def _text(content: str | Sequence[object]) -> str:
    return content if isinstance(content, str) else "\n".join(part.text for part in content)  # type: ignore[attr-defined]


def _answered(messages: Sequence[Message], history: str) -> int:
    """Index of the message to answer."""
    if history == "last":
        for number in range(len(messages) - 1, -1, -1):
            if messages[number].role == "user":
                return number
        raise BadRequest("messages has no user message: send one", "messages")
    for number, message in enumerate(messages):
        if message.role != "user" or number:
            raise BadRequest(
                f"messages[{number}] has the role {message.role}: this model answers one user message, so send that alone",
                f"messages[{number}]",
                "unsupported_history",
            )
    return 0
