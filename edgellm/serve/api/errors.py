"""Errors in OpenAI's shape, and the one table that says which error is what.

`{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}`; `param` names the field that it is about.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from edgellm import errors
from edgellm.runtime.params import NAMES
from edgellm.serve.api.bodies import Body

INVALID, SERVER = "invalid_request_error", "server_error"
TABLE: tuple[tuple[type[Exception], int, str, str], ...] = (  # the first that fits: error, status, type, code
    (errors.BadRequest, 400, INVALID, "invalid_value"),
    (errors.EmptyPrompt, 400, INVALID, "empty_prompt"),
    (errors.PromptTooLong, 400, INVALID, "context_length_exceeded"),
    (errors.PromptNotText, 400, INVALID, "prompt_not_text"),
    (errors.PromptRefused, 400, INVALID, "content_filter"),
    (errors.PromptError, 400, INVALID, "invalid_prompt"),
    (errors.UsageError, 400, INVALID, "invalid_value"),
    (errors.ToolMissing, 400, INVALID, "unsupported_parameter"),  # a form, and no llguidance
    (
        errors.BackendUnavailable,
        400,
        INVALID,
        "unsupported_parameter",
    ),  # a choice, and a device without logits
    (
        errors.ModelUnsupported,
        400,
        INVALID,
        "unsupported_parameter",
    ),  # a draw, and a model that cannot be drawn from
    (errors.ModelNotFound, 404, INVALID, "model_not_found"),
    (errors.Overloaded, 429, "rate_limit_error", "overloaded"),
    (errors.DeadlinePassed, 504, "timeout_error", "deadline_passed"),
    (errors.BackendFailed, 503, SERVER, "backend_failed"),
    (errors.ServiceError, 503, SERVER, "unavailable"),
)
STATUSES: dict[int, tuple[str, str]] = {  # type and code where a status is all that is known
    400: (INVALID, "bad_request"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: (INVALID, "not_found"),
    405: (INVALID, "method_not_allowed"),
    408: ("timeout_error", "request_timeout"),
    413: (INVALID, "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    431: (INVALID, "headers_too_large"),
    503: (SERVER, "unavailable"),
}
FIELDS = {
    **{name: name for name in ("prompt", *NAMES)},
    "json_schema": "response_format",
}  # by a message's first word
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client is told of an error."""

    status: int
    message: str
    type: str
    code: str | None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """OpenAI's shape."""
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": told}, option=orjson.OPT_NON_STR_KEYS)

    def response(self) -> Body:
        """For who has not answered yet."""
        return Body(self.body(), self.status, self.headers)

    def event(self) -> bytes:
        """For who is in the middle of a stream."""
        return b"event: error\ndata: " + self.body() + b"\n\n"


def failure(error: Exception, scope: Scope) -> Failure:
    """What to tell of an error; one that is not in the table is logged, and nothing of it is told."""
    for kind, status, name, code in TABLE:
        if isinstance(error, kind):
            if status >= 500:
                log.warning("request failed: %s", error, extra={"request_id": request_id_of(scope)})
            code = getattr(error, "code", None) or code
            return Failure(status, str(error), name, code, _param(error), _headers(error))
    request_id = request_id_of(scope)
    log.error("request failed", exc_info=error, extra={"request_id": request_id})
    told = f"internal error: the service's log has it under request id {request_id}"
    return Failure(500, told, SERVER, "internal_error")


def of_status(status: int, message: str, headers: dict[str, str] | None = None) -> Failure:
    """An error of which the status is known, for example a middleware's."""
    kind, code = STATUSES.get(status, (INVALID if status < 500 else SERVER, f"status_{status}"))
    return Failure(status, message, kind, code, headers=headers or {})


def request_id_of(scope: Scope) -> str:
    """The id that `RequestIds` gave; empty without it."""
    return str(scope.get("state", {}).get("request_id", ""))


def install(app: FastAPI) -> None:
    """Make the application answer with this shape whatever goes wrong."""
    app.add_exception_handler(HTTPException, _on_http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_invalid)  # type: ignore[arg-type]
    app.add_exception_handler(errors.EdgeLLMError, _on_error)
    app.add_exception_handler(Exception, _on_unknown)


def _param(error: Exception) -> str | None:
    """The field: what the error says, or what its message begins with."""
    if isinstance(error, errors.ModelNotFound):
        return "model"
    if isinstance(error, errors.PromptError):
        return "prompt"
    if isinstance(error, errors.UsageError):
        return FIELDS.get(str(error).partition(" ")[0])
    found: str | None = getattr(error, "param", None)
    return found


def _headers(error: Exception) -> dict[str, str]:
    if not isinstance(error, errors.Overloaded):
        return {}
    wait = max(error.retry_after, 0.001)
    return {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))}


async def _on_http(request: Request, error: HTTPException) -> Body:
    told = str(error.detail)
    if error.status_code == 404:
        told = f"there is no {request.url.path}: see /openapi.json"
    if error.status_code == 405:
        told = f"{request.url.path} does not take {request.method}: see /openapi.json"
    return of_status(error.status_code, told, dict(error.headers or {})).response()


async def _on_invalid(request: Request, error: RequestValidationError) -> Body:
    """Of routes that FastAPI validates: their first field that is wrong."""
    first: Any = error.errors()[0]
    name = ".".join(map(str, first["loc"][1:]))
    return failure(errors.BadRequest(f"{name}: {first['msg']}", name or None), request.scope).response()


async def _on_error(request: Request, error: Exception) -> Body:
    return failure(error, request.scope).response()


async def _on_unknown(request: Request, error: Exception) -> Body:
    """From outside of all middlewares, so without what they add."""
    told = failure(error, request.scope)
    told.headers["x-request-id"] = request_id_of(request.scope)
    return told.response()
