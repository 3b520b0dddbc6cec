"""A request's body, checked once; the first thing that is wrong with it is told by the field's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgellm.errors import BadRequest
from edgellm.serve.api.schemas.unsupported import REASONS

LONGEST_SHOWN = 80  # characters of a value
PROMPT = "must be a text, token ids, or a list of either"  # of which pydantic lists each
Asked = TypeVar("Asked", bound=BaseModel)


def checked(model: type[Asked], raw: bytes) -> Asked:
    """The body as its model. Raises: BadRequest naming the field, its value and what it may be."""
    try:
        return model.__pydantic_validator__.validate_json(raw)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise _refused(error.errors(include_url=False, include_context=False), raw) from None


def _refused(wrong: Sequence[ErrorDetails], raw: bytes) -> BadRequest:
    first = wrong[0]
    if first["type"] == "json_invalid":
        return BadRequest(f"the body is no JSON: {first['msg']}", code="invalid_json")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return BadRequest(f"the body is no JSON: {error}", code="invalid_json")
    if not first["loc"]:
        return BadRequest("the body is no JSON object", code="invalid_json")
    path, first = _deepest(wrong, body)
    param, name = _dotted(path), str(path[-1])
    if first["type"] == "missing":
        return BadRequest(f"{param} is missing", param, "missing_required_parameter")
    if first["type"] == "extra_forbidden":
        return BadRequest(_unknown(param, name), param, "unknown_parameter")
    shown = _shown(first["input"])
    if name in REASONS and _neutral(first):
        return BadRequest(f"{param} is {shown}: {REASONS[name]}", param, "unsupported_parameter")
    told = PROMPT if param == "prompt" else _told(wrong, path, body)
    return BadRequest(f"{param} is {shown}: {told}", param, "invalid_value")


def _unknown(param: str, name: str) -> str:
    why = REASONS.get(name)
    return f"{param} is not supported: {why}" if why else f"there is no parameter {param}: see /openapi.json"


def _neutral(error: ErrorDetails) -> bool:
    """Whether the field takes nothing but what changes nothing."""
    return error["type"] in (
        "literal_error",
        "none_required",
        "too_long",
        "bool_type",
        "list_type",
        "dict_type",
    )


def _deepest(wrong: Sequence[ErrorDetails], body: Any) -> tuple[list[str | int], ErrorDetails]:
    """Where the first field is wrong: of the branches of a union the one that got furthest."""
    paths = [_path(error, body) for error in wrong]
    if paths[0][0] == "prompt" and "prompt" in body:
        return ["prompt"], {**wrong[0], "input": body["prompt"]}
    same = [(path, error) for path, error in zip(paths, wrong, strict=True) if path[0] == paths[0][0]]
    return max(same, key=lambda one: len(one[0]))


def _path(error: ErrorDetails, body: Any) -> list[str | int]:
    """Where it is in the body; pydantic's own marks, such as the branch of a union, are left out."""
    path: list[str | int] = []
    for step in error["loc"]:
        if isinstance(body, dict) and (step in body or step == error["loc"][-1] == "[key]"):
            path.append(step)
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int):
            path.append(step)
            body = body[step] if step < len(body) else None
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return path or [error["loc"][0]]


def _dotted(path: Sequence[str | int]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def _told(wrong: Sequence[ErrorDetails], path: list[str | int], body: Any) -> str:
    """All that was expected in this place, where several things may be."""
    here = (error["msg"] for error in wrong if _path(error, body) == path)
    return ", or ".join(dict.fromkeys(told[:1].lower() + told[1:] for told in here))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
