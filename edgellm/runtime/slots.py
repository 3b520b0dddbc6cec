"""Which slot a prompt goes to, and how much of it is in a slot's cache already: the prefix cache.

Every slot keeps what it was fed until it is used for something else, so a free slot is a cached prefix, and a device's slots
are the cache's limit. Prompts are found by hashes of whole blocks of tokens, chained (Kwon et al. 2023, "PagedAttention"), and
compared token by token before anything is reused: a hit never changes a token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from edgellm.prompt import common_prefix

BLOCK = 16  # tokens


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a prompt goes: its first `start` tokens are there, or come from slot `source` when that is not None."""

    slot: int
    start: int = 0
    source: int | None = None


@dataclass(slots=True)
class _Slot:
    tokens: list[int] = field(default_factory=list)  # fed for certain
    keys: list[int] = field(default_factory=list)  # of its whole blocks
    busy: bool = False


class SlotTable:
    """Slots of one device; `copies` says whether it can copy a prefix from one to another."""

    def __init__(self, slots: int, copies: bool) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._copies = copies
        self._index: defaultdict[int, set[int]] = defaultdict(set)
        self._order = dict.fromkeys(range(slots))  # the one that was used last at the end
        self.free = slots

    def place(self, prompt: Sequence[int]) -> Placement:
        """Take a free slot for the prompt, of which at least the last token is left to feed. There must be a free one."""
        source, length = self._longest(prompt[:-1])
        found = self._choose(source, length)
        slot = self._slots[found.slot]
        self._keep(found.slot, prompt[: found.start])
        slot.busy = True
        self._use(found.slot)
        self.free -= 1
        return found

    def _choose(self, source: int | None, length: int) -> Placement:
        if source is None or length == 0:
            return Placement(self._oldest(None))
        slot = self._slots[source]
        ends_here = length >= len(slot.tokens) - 1  # nothing worth keeping behind the prefix
        if not slot.busy and (ends_here or not self._copies or self.free == 1):
            return Placement(source, length)
        if not self._copies:
            return Placement(self._oldest(None))
        self._use(source)
        return Placement(self._oldest(source), length, source)

    def _oldest(self, besides: int | None) -> int:
        """The free slot that was not used for the longest time."""
        return next(i for i in self._order if not self._slots[i].busy and i != besides)

    def _use(self, index: int) -> None:
        del self._order[index]
        self._order[index] = None

    def _longest(self, prompt: Sequence[int]) -> tuple[int | None, int]:
        """The slot with most of the prompt's first tokens, and how many, at least a block of them."""
        candidates: set[int] = set()
        for key in _keys(prompt):
            holders = self._index.get(key)
            if not holders:
                break
            candidates = holders
        best, most = None, BLOCK - 1
        for index in sorted(candidates, key=lambda i: self._slots[i].busy):
            length = common_prefix(self._slots[index].tokens, prompt)
            if length > most and not (self._slots[index].busy and not self._copies):
                best, most = index, length
        return best, most if best is not None else 0

    def fed(self, slot: int, tokens: Sequence[int]) -> None:
        """More tokens of a busy slot are in its cache."""
        self._keep(slot, tokens, behind=True)

    def release(self, slot: int) -> None:
        """A slot is free; what it was fed stays."""
        self._slots[slot].busy = False
        self.free += 1

    def clear(self) -> None:
        """Forget every prefix; busy slots stay busy."""
        for index in range(len(self._slots)):
            self._keep(index, ())

    def cached(self) -> int:
        """Tokens in free slots."""
        return sum(len(slot.tokens) for slot in self._slots if not slot.busy)

    def _keep(self, index: int, tokens: Sequence[int], behind: bool = False) -> None:
        slot = self._slots[index]
        if not behind:
            for key in slot.keys:
                self._index[key].discard(index)
                if not self._index[key]:
                    del self._index[key]
            slot.tokens, slot.keys = [], []
        slot.tokens.extend(tokens)
        known = len(slot.keys)
        for key in _keys(slot.tokens, known, slot.keys[-1] if known else 0):
            slot.keys.append(key)
            self._index[key].add(index)


def _keys(tokens: Sequence[int], first: int = 0, key: int = 0) -> Iterator[int]:
    """Chained hashes of the whole blocks from block `first` on."""
    for start in range(first * BLOCK, len(tokens) - BLOCK + 1, BLOCK):
        key = hash((key, *tokens[start : start + BLOCK]))
        yield key
