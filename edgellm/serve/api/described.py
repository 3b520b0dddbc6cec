"""What the OpenAPI document says beyond what follows from the routes' types: errors, streams, the models of chunks."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edgellm.serve.api.schemas.replies import ChatChunk, CompletionChunk, ErrorBody

Responses = dict[int | str, dict[str, Any]]
DONE = "[DONE]"
REF = "#/components/schemas/{model}"
REQUEST_ID = {
    "X-Request-Id": {
        "description": "the request's own, or a new one",
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
    }
}
WAIT = {
    "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}},
    "Retry-After-Ms": {"description": "milliseconds", "schema": {"type": "integer", "minimum": 1}},
}
MEANINGS = {
    400: "a field, named by `param`, that cannot be meant, is not known or is not supported",
    401: "no API key, or a wrong one",
    404: "no model of that name",
    413: "the body is too large",
    429: "no room in the queue, or too many requests of this client: come again after Retry-After",
    500: "the service's fault; its log has the request id",
    503: "no back end could finish the answer, or the service is being stopped",
    504: "no token came within the deadline",
}


def _error(status: int | str, meaning: str) -> dict[str, Any]:
    headers = {**REQUEST_ID, **(WAIT if status == 429 else {})}
    return {"model": ErrorBody, "description": meaning, "headers": headers}


ANY_ERROR: Responses = {"default": _error("default", "any other error")}
ERRORS: Responses = {**{status: _error(status, meaning) for status, meaning in MEANINGS.items()}, **ANY_ERROR}


def streamed(chunk: type[BaseModel]) -> Responses:
    """Responses of a route that can stream these chunks."""
    told = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"oneOf": [_ref(chunk), _ref(ErrorBody)]},
    }
    data = {
        "description": "a chunk, an error (event: error), or [DONE] as the last one",
        "anyOf": [{"const": DONE}, told],
    }
    event = {
        "type": "object",
        "required": ["data"],
        "properties": {"event": {"type": "string", "enum": ["message", "error"]}, "data": data},
    }
    response = {
        "description": "one body, or with `stream` server-sent events",
        "content": {"text/event-stream": {"itemSchema": event}},
        "headers": REQUEST_ID,
    }
    return {200: response, **ERRORS}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def install(app: FastAPI) -> None:
    """Add the models that only streams have to the application's document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, found = models_json_schema(
                [(CompletionChunk, "serialization"), (ChatChunk, "serialization")], ref_template=REF
            )
            known = plain()["components"]["schemas"]
            for name, schema in found["$defs"].items():
                known.setdefault(name, schema)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
