"""What the routes of text have in common: tasks from prompts, then one body or a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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


class Place(NamedTuple):
    """Of an answer in a request."""

    prompt: int
    indices: range  # of its choices


ONLY = Place(0, range(1))


def task(
    prompt: tuple[int, ...],
    params: Params,
    writing: Writing,
    request: Request,
    place: Place = ONLY,
) -> Task:
    """An answer to be made; `place` says which choices it is."""
    state = request.scope.get("state", {})
    order = Order(prompt, params, str(state.get("client", "")), str(state.get("request_id", "")))
    return Task(order, place.prompt, place.indices, writing)


def tasks(
    served: Served, prompts: Sequence[tuple[int, ...]], params: Params, count: int, request: Request
) -> list[Task]:
    """`count` choices of each prompt."""
    return [
        task(prompt, own, served.model.writing(own), request, Place(number, indices))
        for number, prompt in enumerate(prompts)
        for own, indices in options.of_choices(params, range(number * count, (number + 1) * count))
    ]


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
