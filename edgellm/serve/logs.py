"""What the service tells of itself: a line an event, JSON or text, with the id of the request it belongs to.

One pipe for all: structlog's events and those of the standard library's loggers, uvicorn's among them. No line has what a
client wrote, except the id it gave its request: of an error it tells where, not what it says.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor

import edgellm
from edgellm.serve.settings import LogSettings

OWN = ("edgellm", "uvicorn", "uvicorn.error")  # told at the level of the settings; others only warn
SILENT = ("uvicorn.access",)  # `AccessLog` has a line of each request
SECRET = frozenset(
    {"authorization", "api_key", "key", "keys", "password", "secret", "token", "cookie", "body", "url"}
    | {"prompt", "messages", "text", "content", "headers", "query"}
)
HIDDEN = "(not told)"
MOST_FRAMES = 30
_PACKAGES = Path(edgellm.__file__).parent.parent


def set_up(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Let everything be logged as the settings say, to `stream`: the standard error output."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
        _where,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(settings, [_first_line, *shared]))
    _install(handler, getattr(logging, settings.level.upper()))


def _formatter(settings: LogSettings, foreign: list[Processor]) -> logging.Formatter:
    render: Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=last)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
    for name in OWN:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level)
    for name in SILENT:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = False


def _json(event: Any, **_: object) -> str:
    return orjson.dumps(event, default=lambda value: type(value).__name__).decode()


def _without_secrets(logger: object, method: str, event: EventDict) -> EventDict:
    """Belt and braces: fields that would have a secret are not told, whoever logs them."""
    for name in event.keys() & SECRET:
        event[name] = HIDDEN
    return event


def _first_line(logger: object, method: str, event: EventDict) -> EventDict:
    """Of what others log: asyncio, for one, puts the message of an error into the lines behind."""
    event["event"] = str(event.get("event", "")).split("\n", 1)[0]
    return event


def _where(logger: object, method: str, event: EventDict) -> EventDict:
    """Of an exception its kind and the places it went through; its message may have words of a client."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else _given(info)
    if error is not None:
        event["error"] = type(error).__name__
        event["frames"] = _frames(error.__traceback__)
    return event


def _given(info: object) -> BaseException | None:
    if isinstance(info, tuple):
        return info[1] if isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


def _frames(trace: TracebackType | None) -> list[str]:
    """file:line function, the innermost last."""
    places = [
        f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
    ]
    return places[-MOST_FRAMES:]


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(_PACKAGES)) if path.is_relative_to(_PACKAGES) else "/".join(path.parts[-2:])
