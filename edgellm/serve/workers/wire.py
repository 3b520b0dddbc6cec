"""Orders, portions and errors as messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from edgellm import errors
from edgellm.errors import EdgeLLMError, ServiceError
from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.params import NAMES, Params
from edgellm.serve.orders import End, Order, Portion
from edgellm.serve.workers.channel import Message
from edgellm.serve.workers.mail import Mail

ORDER, CANCEL, TOKENS, END, ERROR = "order", "cancel", "tokens", "end", "error"
OPEN, OPENED, FAILED, BEAT, CLOSE = "open", "opened", "failed", "beat", "close"
CLEAR = "clear"


def _defaults() -> dict[str, Any]:
    found = {}
    for one in fields(Params):
        if one.name in NAMES:
            found[one.name] = one.default if one.default_factory is MISSING else one.default_factory()
    return found


DEFAULTS = _defaults()
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, EdgeLLMError) and kind.__init__ is Exception.__init__
}


def order_message(number: int, order: Order) -> Message:
    """An order under a number; the clock is that of the machine, and the same in all of its processes."""
    return [
        ORDER,
        number,
        order.prompt,
        _options(order.params),
        order.tokens,
        order.arrived,
        order.deadline,
        order.whole,
    ]


def _options(params: Params) -> dict[str, Any]:
    """Those that are not as they are anyway."""
    found = {name: value for name in NAMES if (value := getattr(params, name)) != DEFAULTS[name]}
    schema = found.get("json_schema")
    if schema is not None and not isinstance(schema, str):
        found["json_schema"] = json.dumps(schema)
    return found


def order_of(message: Message) -> tuple[int, Order]:
    """The order, and its number."""
    _, number, prompt, options, tokens, arrived, deadline, whole = message
    if bias := options.get("logit_bias"):
        options["logit_bias"] = {int(token): nats for token, nats in bias.items()}
    params = Params.of(options)
    times: dict[str, Any] = {"arrived": arrived, "deadline": deadline}
    return number, Order(tuple(prompt), params, tokens=tuple(tokens), whole=whole, **times)


def portion_messages(number: int, portion: Portion) -> list[Message]:
    """The tokens, if there are any, and the end, if it has come."""
    found: list[Message] = []
    if portion.tokens:
        found.append([TOKENS, number, portion.tokens, *([_told(portion.infos)] if portion.infos else [])])
    if portion.end is not None:
        end = portion.end
        found.append([END, number, end.finish_reason, end.backend, end.cached, end.counters])
    return found


def _told(infos: Sequence[TokenInfo]) -> Message:
    return [[info.token, info.logprob, info.top] for info in infos]


def deliver(message: Message, mail: Mail) -> None:
    """Put tokens, an end or an error into the mail of their answer. Raises: ValueError for anything else."""
    kind, _, *told = message
    if kind == TOKENS:
        mail.put(told[0], _infos(told[1]) if len(told) > 1 else ())
    elif kind == END:
        reason, backend, cached, counters = told
        mail.finish(End(reason, backend, cached, counters=counters))
    elif kind == ERROR:
        mail.fail(error_of(*told))
    else:
        raise ValueError(f"kind {kind!r}")


def _infos(told: Message) -> list[TokenInfo]:
    return [TokenInfo(token, logprob, tuple(map(tuple, top))) for token, logprob, top in told]


def told_error(error: Exception) -> Message:
    """Kind and message; what nobody raises on purpose is an error of the service."""
    name = type(error).__name__
    return [name, str(error)] if name in KINDS else [ServiceError.__name__, f"{name}: {error}"]


def error_of(name: str, message: str) -> EdgeLLMError:
    """The error again."""
    return KINDS.get(name, ServiceError)(message)
