"""The engine for asyncio: one thread turns the wheel while there is work, and the event loop never waits for a device."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Sequence

from edgellm.runtime.engine import Answer, Engine, Request


class AsyncEngine:
    """Answers of an `Engine` as asynchronous iterators; close it before the engine. Any number of event loops may use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.turns = 0  # of the wheel; none for long, with answers in slots, means that the device hangs
        self._work = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._turn, name="edgellm-engine", daemon=True)
        self._thread.start()

    def start(
        self, request: Request, tokens: Sequence[int] = (), whole: bool = False
    ) -> tuple[Answer, AsyncGenerator[list[int], None]]:
        """Submit a request: the answer, and its tokens in the portions in which they come.

        `tokens`: as of `Engine.submit`; they do not come again. `whole`: the answer comes in one portion, at its end, and
        the event loop is not woken before.

        A consumer that closes the generator, or is cancelled, frees the slot. Raises: as `Engine.submit`; the generator what
        `Engine.tokens` raises. To be called where an event loop runs.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(news.set)

        answer = self.engine.submit(request, notify, tokens, whole)
        self._work.set()
        return answer, self._tokens(answer, news)

    async def _tokens(self, answer: Answer, news: asyncio.Event) -> AsyncGenerator[list[int], None]:
        seen = answer.carried
        try:
            while True:
                await news.wait()
                news.clear()
                done = answer.done  # before the tokens are looked at: none comes later
                if new := answer.tokens[seen:]:
                    seen += len(new)
                    yield new
                if done:
                    break
        finally:
            if not answer.done:
                self.engine.abandon(answer)
                self._work.set()
        if answer.error is not None:
            raise answer.error

    def close(self) -> None:
        """Stop the thread; answers that are not done stay as they are. A second call does nothing."""
        self._closing = True
        self._work.set()
        self._thread.join()

    def _turn(self) -> None:
        while not self._closing:
            self._work.wait()
            self._work.clear()
            while not self._closing and (self.engine.busy or self.engine.queued):
                self.engine.pump()
                self.turns += 1
