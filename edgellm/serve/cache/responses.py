"""The response cache: a small memory in front of a store. Finding never fails; keeping never waits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from cachetools import LRUCache

from edgellm.serve.cache import answers
from edgellm.serve.cache.answers import Kept, Shape
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.stores import Entry, Figures

MEMORY_BYTES = 16 << 20
MOST_WAITING = 4_096  # answers to be written; those that come on top are kept in memory only
BATCH = 256  # answers in one transaction
CLOSE_SECONDS = 5.0  # to write down what waits


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose answers they are."""

    name: str  # of the model, for clients: what is counted by
    digest: str  # of its files
    shape: Shape


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """A look at the cache."""

    store: str
    failing: str  # what is wrong with the store; empty when nothing is
    failures: int
    memory: Figures
    stored: Figures | None  # None where the store has not said so far
    queries: int
    hits: int
    unwritten: int  # answers that were kept in memory only


class ResponseCache:
    """Answers of all models."""

    def __init__(
        self,
        guard: Guard,
        keep: float,
        memory_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`keep`: seconds after which an answer is not used any more."""
        self._guard, self._keep, self._clock = guard, keep, clock
        self._memory: LRUCache[tuple[str, bytes], Kept] = LRUCache(memory_bytes, getsizeof=Kept.size)
        self._waiting: deque[Entry | tuple[str, bytes]] = deque()  # to be written, or to be dropped
        self._writing: asyncio.Task[None] | None = None
        self._batch = asyncio.Lock()  # held while one is written
        self._stored: Figures | None = None
        self.queries: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self.unwritten = 0

    async def find(self, owner: Owner, key: bytes, logprobs: int | None) -> Kept | None:
        """The answer, if there is a sound one that is not too old."""
        kept = self.remembered(owner, key)
        if kept is not None:
            return kept
        raw = await self._guard.get(owner.digest, key)
        if raw is None:
            return None
        kept = answers.decode(key, raw)
        if kept is None or not owner.shape.fits(kept, logprobs) or self._old(kept):
            self._later((owner.digest, key))
            return None
        self._remember(owner, key, kept)
        return kept

    def remembered(self, owner: Owner, key: bytes) -> Kept | None:
        """The answer, if it is in memory."""
        kept = self._memory.get((owner.digest, key))
        return None if kept is None or self._old(kept) else kept

    def keep(self, owner: Owner, key: bytes, kept: Kept) -> None:
        """Keep an answer, unless there is one in memory that serves as well. Returns at once."""
        there = self.remembered(owner, key)
        if there is not None and not kept.serves_more(there):
            return
        self._remember(owner, key, kept)
        self._later(Entry(owner.digest, key, answers.encode(key, kept)))

    def now(self) -> float:
        """Unix time, s."""
        return self._clock()

    async def clear(self, digest: str | None = None) -> int | None:
        """Forget all answers, or those of one model: how many were stored; None where the store does not obey."""
        for place in [place for place in self._memory if digest in (None, place[0])]:
            del self._memory[place]
        self._waiting = deque(one for one in self._waiting if digest not in (None, one[0]))
        async with self._batch:
            gone = await self._guard.clear(digest)
        self._stored = await self._guard.figures()
        return gone

    async def refresh(self) -> CacheFigures:
        """`figures` with what the store says now."""
        self._stored = await self._guard.figures() or self._stored
        return self.figures()

    def figures(self) -> CacheFigures:
        """How it is; never waits."""
        guard, memory = self._guard, Figures(len(self._memory), int(self._memory.currsize))
        asked = self.queries.total(), self.hits.total()
        return CacheFigures(
            guard.name, guard.reason, guard.failures, memory, self._stored, *asked, self.unwritten
        )

    async def close(self) -> None:
        """Write down what waits, as far as that goes quickly; close the store."""
        if self._writing is not None:
            with anyio.move_on_after(CLOSE_SECONDS):
                await asyncio.wait([self._writing])
            self._writing.cancel()
        await self._guard.close()

    def _old(self, kept: Kept) -> bool:
        return self._clock() - kept.made >= self._keep

    def _remember(self, owner: Owner, key: bytes, kept: Kept) -> None:
        if kept.size() <= self._memory.maxsize:
            self._memory[owner.digest, key] = kept

    def _later(self, what: Entry | tuple[str, bytes]) -> None:
        """Let the store know, in the background."""
        if len(self._waiting) >= MOST_WAITING:
            self.unwritten += 1
            return
        self._waiting.append(what)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="edgellm-cache")

    async def _write(self) -> None:
        while self._waiting:
            async with self._batch:
                await self._write_batch()
        self._stored = await self._guard.figures()

    async def _write_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        for wrong in batch:
            if not isinstance(wrong, Entry):
                await self._guard.drop(*wrong)
        entries = [entry for entry in batch if isinstance(entry, Entry)]
        if entries and not await self._guard.put(entries):
            self.unwritten += len(entries)
