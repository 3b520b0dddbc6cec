"""What has come of an answer and was not read yet. A slow reader gets it all at once, and holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from edgellm.errors import EdgeLLMError
from edgellm.runtime.choice import TokenInfo
from edgellm.serve.orders import End, Portion


class Mail:
    """Of one answer: who gets it puts it in, who wants it reads. Holds no more than the answer has.

    What comes behind the end or an error is left out.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._infos: list[TokenInfo] = []
        self._end: End | None = None
        self._error: EdgeLLMError | None = None
        self._news = asyncio.Event()

    def put(self, tokens: Sequence[int], infos: Sequence[TokenInfo] = ()) -> None:
        """Some of the answer."""
        if not self.over:
            self._tokens += tokens
            self._infos += infos
            self._news.set()

    def finish(self, end: End) -> None:
        """There is no more."""
        if not self.over:
            self._end = end
            self._news.set()

    def fail(self, error: EdgeLLMError) -> None:
        """There is no more, because of this."""
        if not self.over:
            self._error = error
            self._news.set()

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._end is not None or self._error is not None

    async def read(self) -> AsyncGenerator[Portion, None]:
        """Portions to the end. Raises: the error, behind what came before it."""
        while True:
            await self._news.wait()
            self._news.clear()
            end, error = self._end, self._error
            if self._tokens or end is not None:
                found = Portion(self._tokens, self._infos, end)
                self._tokens, self._infos = [], []
                yield found
            if end is not None:
                return
            if error is not None:
                raise error
