"""Orders become text: any number at the same time, each written down as its tokens come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from edgellm.errors import BackendFailed, DeadlinePassed
from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.completion import Completion, Writing
from edgellm.serve.orders import End, Order, ended
from edgellm.serve.served import Served

TEXT_ENDED = "stop"  # where a stop string or a circle ends an answer, no one asks its source for more
DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """An answer to be made, and the choices that it is."""

    order: Order
    prompt: int  # number of the prompt in the request
    indices: range
    writing: Writing


class Finish(NamedTuple):
    """A whole answer, and how it came."""

    completion: Completion
    backend: str | None  # None where it is not known
    origin: str | None
    queued: float  # s


class Piece(NamedTuple):
    """What came of a task at once; the last piece has the finish."""

    task: Task
    text: str
    infos: Sequence[TokenInfo] = ()
    finish: Finish | None = None


Pieces = AsyncGenerator[Piece, None]


def generated(served: Served, tasks: Sequence[Task]) -> Pieces:
    """Pieces of all tasks as they come, a last one of each. When one fails, or nobody reads on, all are cancelled.

    Raises: what sources raise; DeadlinePassed where a deadline leaves no token.
    """
    if len(tasks) == 1:
        return _written(served, tasks[0])
    return _merged([_written(served, task) for task in tasks])


async def _written(served: Served, task: Task) -> Pieces:
    order, writing = task.order, task.writing
    infos: list[TokenInfo] = []
    first_token: float | None = None
    end: End | None = None
    text, new = "", infos[:0]
    async with aclosing(served.source.stream(order)) as portions:
        async for portion in portions:
            end, begun = portion.end, writing.count
            text = writing.take(portion.tokens) if portion.tokens else ""
            new = list(portion.infos[: writing.count - begun])
            infos += new
            if first_token is None and portion.tokens:
                first_token = time.monotonic() - order.arrived
            if end is not None or writing.over:
                break
            yield Piece(task, text, new)
    finish, rest = _finish(served, task, end, first_token, infos)
    yield Piece(task, text + rest, new, finish)


def _finish(
    served: Served, task: Task, end: End | None, first_token: float | None, infos: Sequence[TokenInfo]
) -> tuple[Finish, str]:
    """The whole answer, and text that was held back."""
    if end is None and not task.writing.over:
        raise BackendFailed(f"the answer broke off after {task.writing.count} tokens: ask again")
    if end is None:  # the text was complete before its source had ended
        end, origin, backend = End(TEXT_ENDED, ""), None, _only_backend(served)
    else:
        origin, backend = end.origin, end.backend
    if end.finish_reason == DEADLINE and not task.writing.count:
        raise DeadlinePassed(
            f"no token came within the deadline of {_deadline(task.order):g} seconds: allow more, or come again later"
        )
    completion, rest = task.writing.finish(ended(task.order, end, first_token, infos))
    return Finish(completion, backend, origin, end.queued), rest


def _deadline(order: Order) -> float:
    return order.params.deadline or order.deadline or 0.0


def _only_backend(served: Served) -> str | None:
    backends = {worker.backend for worker in served.workers}
    return backends.pop() if len(backends) == 1 else None


async def _merged(streams: Sequence[Pieces]) -> Pieces:
    news: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
    readers = [asyncio.create_task(_read(stream, news)) for stream in streams]
    left = len(readers)
    try:
        while left:
            item = await news.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(stream: Pieces, news: asyncio.Queue[Piece | Exception | None]) -> None:
    try:
        async with aclosing(stream):
            async for piece in stream:
                news.put_nowait(piece)
    except Exception as error:
        news.put_nowait(error)
    else:
        news.put_nowait(None)
