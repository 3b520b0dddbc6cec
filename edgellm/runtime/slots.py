"""Which slot a prompt goes to, and how much of it is in a slot's cache already: the prefix cache.

Every slot keeps what it was fed until it is used for something else, so a free slot is a cached prefix, and a device's slots
are the cache's limit. Prompts are found by hashes of whole blocks of tokens, chained (Kwon et al. 2023, "PagedAttention"), and
compared token by token before anything is reused: a hit never changes a token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
        source, length, keys = self._longest(prompt[:-1])
        found = self._choose(source, length)
        self._reset(found.slot, prompt[: found.start], keys[: found.start // BLOCK])
        self._slots[found.slot].busy = True
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

    def _longest(self, prompt: Sequence[int]) -> tuple[int | None, int, list[int]]:
        """The slot with most of the prompt's first tokens, how many, at least a block of them, and the keys of these."""
        keys: list[int] = []
        holders: set[int] = set()
        for key in block_keys(prompt):
            found = self._index.get(key)
            if not found:
                break
            holders = found
            keys.append(key)
        best = self._best(holders, prompt, len(keys) * BLOCK)
        # hashes only say where to look
        length = 0 if best is None else common_prefix(self._slots[best].tokens, prompt)
        return (best, length, keys) if length >= BLOCK else (None, 0, [])

    def _best(self, holders: set[int], prompt: Sequence[int], whole: int) -> int | None:
        """Of slots that share the first `whole` tokens, the one that shares most of the next block, better a free one."""
        rest = prompt[whole : whole + BLOCK]
        best, most = None, -1
        for index in sorted(holders, key=lambda i: self._slots[i].busy):
            slot = self._slots[index]
            if slot.busy and not self._copies:
                break
            length = common_prefix(slot.tokens[whole : whole + BLOCK], rest)
            if length > most:
                best, most = index, length
            if most == len(rest):
                break
        return best

    def fed(self, slot: int, tokens: Sequence[int]) -> None:
        """More tokens of a busy slot are in its cache."""
        held = self._slots[slot]
        held.tokens.extend(tokens)
        self._hold(slot, block_keys(held.tokens, len(held.keys), held.keys[-1] if held.keys else 0))

    def release(self, slot: int) -> None:
        """A slot is free; what it was fed stays."""
        self._slots[slot].busy = False
        self.free += 1

    def clear(self) -> None:
        """Forget every prefix; busy slots stay busy."""
        for index in range(len(self._slots)):
            self._reset(index, (), [])

    def cached(self) -> int:
        """Tokens in free slots."""
        return sum(len(slot.tokens) for slot in self._slots if not slot.busy)

    def _reset(self, index: int, tokens: Sequence[int], keys: list[int]) -> None:
        """A slot holds these tokens and no others; `keys` are those of their whole blocks."""
        slot = self._slots[index]
        kept = len(keys) if slot.keys[: len(keys)] == keys else 0
        for key in slot.keys[kept:]:
            self._index[key].discard(index)
            if not self._index[key]:
                del self._index[key]
        slot.tokens = list(tokens)
        del slot.keys[kept:]
        self._hold(index, keys[kept:])

    def _hold(self, index: int, keys: Iterable[int]) -> None:
        for key in keys:
            self._slots[index].keys.append(key)
            self._index[key].add(index)


def block_keys(tokens: Sequence[int], first: int = 0, key: int = 0) -> Iterator[int]:
    """Chained hashes of the whole blocks from block `first` on."""
    for start in range(first * BLOCK, len(tokens) - BLOCK + 1, BLOCK):
        key = hash((key, *tokens[start : start + BLOCK]))
        yield key
