"""From a request's fields to the options of the engine."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from edgellm.errors import BadRequest
from edgellm.runtime.params import Options, Params
from edgellm.serve.api.schemas.requests import (
    ChatRequest,
    CompletionRequest,
    Generation,
    JsonFormat,
    ResponseFormat,
    SchemaFormat,
)
from edgellm.serve.settings import Values

SAME = (  # fields that are called as the engine calls them
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "regex",
    "grammar",
    "choices",
    "truncate",
    "least_confidence",
    "repeats",
    "speculate",
    "priority",
    "deadline",
)
SEED_BITS = 53  # of a drawn seed: a number that JavaScript keeps
SEEDS = 1 << 64


def of(asked: CompletionRequest | ChatRequest, truncate: str) -> Params:
    """Options of every answer; the seed, if any is drawn from, is the first one's.

    Raises: BadRequest, and UsageError of `Params`.
    """
    options: dict[str, Any] = {"truncate": truncate}
    for name in SAME:
        value = getattr(asked, name)
        if value is not None:
            options[name] = value
    if asked.stop is not None:
        options["stop"] = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop)
    if asked.logit_bias:
        options["logit_bias"] = {int(token): nats for token, nats in asked.logit_bias.items()}
    if asked.response_format is not None:
        options.update(_form(asked.response_format))
    if options.get("temperature"):
        options["seed"] = secrets.randbits(SEED_BITS) if asked.seed is None else asked.seed
    _check_stream(asked)
    special = _of_chat(asked) if isinstance(asked, ChatRequest) else _of_completion(asked)
    return Params.of(Options(**{**options, **special}))  # type: ignore[typeddict-item]


def may_come_again(asked: Generation) -> bool:
    """Whether the same request would get the same tokens: not where the service draws the seed."""
    return not asked.temperature or asked.seed is not None


def of_choices(params: Params, indices: range) -> Iterator[tuple[Params, range]]:
    """What to generate for the choices of a prompt: drawn ones with seeds one apart, greedy ones once for all."""
    if params.temperature == 0 or len(indices) == 1:
        yield params, indices
        return
    for number, index in enumerate(indices):
        yield replace(params, seed=(params.seed + number) % SEEDS), range(index, index + 1)


def check_counts(asked: Generation, prompts: int, values: Values) -> int:
    """Choices for each prompt, after a look at the service's limits. Raises: BadRequest."""
    most = values.limits
    if prompts > most.prompts:
        raise BadRequest(
            f"prompt has {prompts} prompts: at most {most.prompts} go into one request", "prompt"
        )
    count = asked.n or 1
    if count > most.choices:
        raise BadRequest(f"n is {count}: at most {most.choices} choices are made of a prompt", "n")
    return count


def _of_completion(asked: CompletionRequest) -> dict[str, Any]:
    return {"logprobs": asked.logprobs}


def _of_chat(asked: ChatRequest) -> dict[str, Any]:
    if asked.top_logprobs is not None and not asked.logprobs:
        raise BadRequest(f"top_logprobs is {asked.top_logprobs}: needs logprobs to be true", "top_logprobs")
    found: dict[str, Any] = {"logprobs": (asked.top_logprobs or 0) if asked.logprobs else None}
    if asked.max_completion_tokens is not None:
        if asked.max_tokens not in (None, asked.max_completion_tokens):
            raise BadRequest(
                f"max_completion_tokens is {asked.max_completion_tokens} and max_tokens {asked.max_tokens}: "
                "they mean the same, so give one of them",
                "max_completion_tokens",
            )
        found["max_tokens"] = asked.max_completion_tokens
    return found


def _check_stream(asked: Generation) -> None:
    if asked.stream_options is not None and not asked.stream:
        raise BadRequest("stream_options is given: needs stream to be true", "stream_options")


def _form(wanted: ResponseFormat) -> dict[str, Any]:
    if isinstance(wanted, SchemaFormat):
        return {"json_schema": json.dumps(wanted.json_schema.json_schema)}
    if isinstance(wanted, JsonFormat):
        return {"json_schema": '{"type": "object"}'}
    return {}
