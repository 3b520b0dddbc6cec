"""A client that goes away is noticed at once, and what is done for it ends."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

from starlette.types import Receive


class Hangup:
    """Around what is done for a client whose request has been read: cancels it when the client goes. `gone` says whether it did.

    The block then ends quietly; a cancellation from elsewhere goes on.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self.gone = receive, False

    async def __aenter__(self) -> Hangup:
        self._task = asyncio.current_task()
        self._watch = asyncio.create_task(_disconnected(self._receive))
        self._watch.add_done_callback(self._cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watch.remove_done_callback(self._cancel)
        self._watch.cancel()
        if not self.gone or self._task is None or not isinstance(error, asyncio.CancelledError):
            return False
        if sys.version_info >= (3, 11):
            return self._task.uncancel() == 0
        return True

    def _cancel(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and watch.exception() is None and self._task is not None:
            self.gone = True
            self._task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
