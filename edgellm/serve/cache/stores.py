"""What a store of answers is to the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """One value to be kept."""

    model: str  # digest of its files, hexadecimal
    key: bytes
    value: bytes


class Figures(NamedTuple):
    """How much is kept."""

    entries: int
    bytes: int


class Store(Protocol):
    """Keeps values by model and key. Every method but `close` raises StoreFailed, and may be called again afterwards."""

    name: str  # sqlite, redis

    async def get(self, model: str, key: bytes) -> bytes | None:
        """The value; None where there is none."""
        ...

    async def put(self, entries: Sequence[Entry]) -> None:
        """Keep values, in the place of those that have the same keys; others may have to go."""
        ...

    async def drop(self, model: str, key: bytes) -> None:
        """Forget a value."""
        ...

    async def clear(self, model: str | None = None) -> int:
        """Forget all values, or those of one model: how many there were."""
        ...

    async def figures(self) -> Figures:
        """What there is."""
        ...

    async def close(self) -> None:
        """Free everything; raises nothing."""
        ...
