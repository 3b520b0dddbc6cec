"""The same news for all who watch, once a second; nothing runs while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable


class Broadcast:
    """Looks often, tells once an interval. Belongs to one event loop."""

    def __init__(
        self, look: Callable[[], None], tell: Callable[[], bytes], interval: float = 1.0, looks: int = 50
    ) -> None:
        """`tell` makes the news; `look` is called `looks` times an interval (seconds) before it. Neither may wait."""
        self._look, self._tell = look, tell
        self._pause, self._looks = interval / looks, looks
        self._news, self._latest = asyncio.Event(), b""
        self._task: asyncio.Task[None] | None = None
        self.watchers = 0

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """News, the first at once. Whoever is slow misses some. Raises: what `look` and `tell` raise."""
        self.watchers += 1
        try:
            yield self._tell()
            while True:
                news, task = self._news, self._running()
                await news.wait()
                if task.done():
                    task.result()
                yield self._latest
        finally:
            self.watchers -= 1
            if not self.watchers and self._task is not None:
                self._task.cancel()
                self._task = None

    def _running(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._turn(), name="edgellm-live")
        return self._task

    async def _turn(self) -> None:
        try:
            while True:
                for _ in range(self._looks):
                    await asyncio.sleep(self._pause)
                    self._look()
                self._latest = self._tell()
                self._wake()
        except Exception:
            asyncio.get_running_loop().call_soon(self._wake)  # when the task is done, which they look at
            raise

    def _wake(self) -> None:
        """Let all who wait go on; who waits from now on waits for the next news."""
        news, self._news = self._news, asyncio.Event()
        news.set()
