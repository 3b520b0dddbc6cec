"""What the routes of text have in common: tasks from prompts, then one body or a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from edgellm.runtime.completion import Writing
from edgellm.runtime.params import Params
from edgellm.serve.api import options
from edgellm.serve.api.answers import Finish, Task, generated
from edgellm.serve.api.bodies import Body
from edgellm.serve.api.events import Events
from edgellm.serve.api.shapes import Shape
from edgellm.serve.orders import Order
from edgellm.serve.served import Served

ONLY = range(1)


def order(params: Params, request: Request, keep: bool = True, whole: bool = False) -> Order:
    """An order of this request, still without a prompt: it has arrived now."""
    state, service = request.scope.get("state", {}), request.app.state.service
    return Order(
        (),
        params,
        str(state.get("client", "")),
        str(state.get("request_id", "")),
        deadline=service.values.queue.deadline,
        keep=keep,
        whole=whole,
    )


def note_user(request: Request, user: str | None) -> None:
    """Keep the client's own name of a user for the log (`request.state.user`)."""
    if user is not None:
        request.state.user = user


def tasks(served: Served, prompts: Sequence[tuple[int, ...]], order: Order, count: int) -> list[Task]:
    """`count` choices of each prompt."""
    return [
        task(served.model.writing(params), replace(order, prompt=prompt, params=params), number, indices)
        for number, prompt in enumerate(prompts)
        for params, indices in options.of_choices(order.params, range(number * count, (number + 1) * count))
    ]


def task(writing: Writing, order: Order, prompt: int = 0, indices: range = ONLY) -> Task:
    """An answer to be made. It comes as a whole only where no text of it can end it before its time."""
    if order.whole and not writing.plain:
        order = replace(order, whole=False)
    return Task(order, prompt, indices, writing)


async def finished(served: Served, wanted: Sequence[Task]) -> list[tuple[Task, Finish]]:
    """All answers, when they are whole."""
    return [
        (piece.task, piece.finish) async for piece in generated(served, wanted) if piece.finish is not None
    ]


async def response(served: Served, wanted: Sequence[Task], shape: Shape, stream: bool) -> Response:
    """All answers in one body, or a stream whose first piece has come."""
    if not stream:
        return Body(shape.whole(await finished(served, wanted)))
    pieces = generated(served, wanted)
    return Events(shape, await anext(pieces), pieces, len(wanted))
