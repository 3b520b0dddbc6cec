"""Encoded examples held compactly: a few bytes a token, where Python's own lists take tens."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import overload

Encoded = tuple[list[int], int]  # ids, prompt length


class Examples(Sequence[Encoded]):
    """A sequence of (ids, prompt length), stored as 2 bytes a token (4 where an id needs them) and 12 an example."""

    def __init__(self, examples: Iterable[Encoded] = (), vocab: int = 1 << 16) -> None:
        """Take over `examples`; `vocab` bounds the ids."""
        self._ids = array("H" if vocab <= 1 << 16 else "I")
        self._ends, self._prompts = array("q", [0]), array("I")
        for example in examples:
            self.append(example)

    def append(self, example: Encoded) -> None:
        """Add one example at the end."""
        ids, prompt = example
        self._ids.extend(ids)
        self._ends.append(len(self._ids))
        self._prompts.append(prompt)

    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [end - start for start, end in pairwise(self._ends)]

    def __len__(self) -> int:
        return len(self._prompts)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Encoded]: ...
    def __getitem__(self, index: int | slice) -> Encoded | Sequence[Encoded]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]  # negative indices; IndexError beyond the ends
        return self._ids[self._ends[at] : self._ends[at + 1]].tolist(), self._prompts[at]
