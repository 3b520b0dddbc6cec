"""A worker in this process: an engine that a thread of its own turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from edgellm.errors import BackendFailed
from edgellm.runtime.choice import Chooser
from edgellm.runtime.engine import Answer
from edgellm.runtime.llm import LLM
from edgellm.serve.orders import End, Order, Portion, WorkerState

EXPIRED = "deadline"


class LocalWorker:
    """See `orders.Worker`. Owns the LLM."""

    def __init__(self, name: str, llm: LLM) -> None:
        self.name, self._llm = name, llm
        self._closed = False

    @property
    def backend(self) -> str:
        """The one in use: an engine moves on to the next when one breaks."""
        return self._llm.backend

    @property
    def slots(self) -> int:
        """Of the device in use."""
        return self._llm.engine.device.traits.slots

    @property
    def turns(self) -> int:
        """Rounds of the engine so far."""
        return self._llm.asynchronous().turns

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions as they come."""
        if self._closed:
            raise BackendFailed(f"worker {self.name} is closed")
        left = order.left()
        if left is not None and left <= 0:
            yield Portion((), end=End(EXPIRED, self.backend))
            return
        if reason := self._ended(order):
            yield Portion((), end=End(reason, self.backend))
            return
        request, chooser = self._llm.request(list(order.prompt), order.params)
        request = replace(request, deadline=left)
        answer, portions = self._llm.asynchronous().start(request, order.tokens, order.whole)
        shown = 0
        try:
            async for tokens in portions:
                infos = chooser.seen[shown : shown + len(tokens)] if chooser else ()
                shown += len(tokens)
                yield Portion(tokens, infos)
        finally:
            await portions.aclose()
        yield Portion((), end=_end(answer, chooser))

    def _ended(self, order: Order) -> str | None:
        """Why there are no tokens behind those of the order, where their number says so."""
        if order.most_tokens is not None and len(order.tokens) >= order.most_tokens:
            return "length"
        return "context" if len(order.prompt) + len(order.tokens) > self._llm.context else None

    def state(self) -> WorkerState:
        """How it is."""
        engine = self._llm.engine
        return WorkerState(
            not self._closed, engine.busy, engine.queued, engine.cached, tuple(engine.failures)
        )

    async def clear_cache(self) -> None:
        """Forget every cached prefix, when the device is between two polls."""
        await asyncio.to_thread(self._llm.engine.clear_cache)

    async def close(self) -> None:
        """Close the LLM, whose device may take a moment."""
        self._closed = True
        await asyncio.to_thread(self._llm.close)


def _end(answer: Answer, chooser: Chooser | None) -> End:
    reason = (chooser and chooser.ended) or str(answer.finish_reason)
    return End(reason, answer.backend, answer.cached, counters=dict(answer.counters))
