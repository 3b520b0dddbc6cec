"""A worker as the pool knows it: what it has to do, which prefixes it was given, and whether it has failed of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from edgellm.runtime.slots import BLOCK, block_keys
from edgellm.serve.orders import Worker

MOST_BLOCKS = 64  # of a prompt that are looked at
KEPT_BLOCKS = 16  # a slot: prefixes that a worker is thought to have
LONGEST_COOL_DOWN = 60.0  # s


@dataclass(frozen=True, slots=True)
class MemberState:
    """A look at a worker of a pool."""

    name: str
    running: int  # orders
    outstanding: int  # tokens of their prompts and answers, at most
    failures: int  # since the start
    cooling: float  # s that it is still left alone, where there is another


class CoolDown:
    """Time that a failing worker is left alone: longer each time, short again when it has worked for as long."""

    def __init__(self, first: float) -> None:
        """`first` in seconds."""
        self._first = self._length = first
        self._until = float("-inf")  # s of the pool's clock
        self._cooled = False

    def failed(self, now: float) -> None:
        """Begin, unless it goes on already: one breakdown fails many orders."""
        if now < self._until:
            return
        if not self._cooled or now - self._until >= self._length:
            self._length = self._first
        else:
            self._length = min(2 * self._length, max(LONGEST_COOL_DOWN, self._first))
        self._until, self._cooled = now + self._length, True

    def left(self, now: float) -> float:
        """Seconds that are left of it."""
        return max(self._until - now, 0.0)


class Member:
    """One worker's accounts."""

    def __init__(self, worker: Worker, cool_down: float) -> None:
        """`cool_down`: s, the first time."""
        self.worker, self.cool_down = worker, CoolDown(cool_down)
        self.running = self.outstanding = self.failures = 0
        self._blocks: dict[int, None] = {}  # keys of blocks that it was given, the latest at the end

    def state(self, now: float) -> MemberState:
        """How it is."""
        return MemberState(
            self.worker.name, self.running, self.outstanding, self.failures, self.cool_down.left(now)
        )

    def rank(self, keys: Sequence[int], now: float) -> tuple[bool, bool, int]:
        """The lower, the sooner this one: not if it failed, if its slots are taken, then by the work until it is done."""
        full = self.running >= self.worker.slots
        return self.cool_down.left(now) > 0, full, self.outstanding - self._held(keys)

    def _held(self, keys: Sequence[int]) -> int:
        """Tokens of a prompt that it need not be fed again."""
        blocks = 0
        for key in keys:
            if key not in self._blocks:
                break
            blocks += 1
        return blocks * BLOCK

    def give(self, keys: Sequence[int], cost: int) -> Load:
        """An order of so many tokens at most goes to it."""
        for key in keys:
            self._blocks.pop(key, None)
            self._blocks[key] = None
        while len(self._blocks) > KEPT_BLOCKS * self.worker.slots:
            del self._blocks[next(iter(self._blocks))]
        return Load(self, cost)

    def failed(self, now: float) -> None:
        """It broke down, and what it knew is gone."""
        self.failures += 1
        self.cool_down.failed(now)
        self._blocks.clear()


class Load:
    """An order in a worker's accounts, until it ends."""

    __slots__ = ("_left", "_member", "_over")

    def __init__(self, member: Member, cost: int) -> None:
        self._member, self._left, self._over = member, cost, False
        member.running += 1
        member.outstanding += cost

    def came(self, tokens: int) -> None:
        """So many tokens are done."""
        done = min(tokens, self._left)
        self._left -= done
        self._member.outstanding -= done

    def end(self) -> None:
        """Nothing of it is left; nothing happens a second time."""
        if not self._over:
            self._over = True
            self.came(self._left)
            self._member.running -= 1


def prefix_keys(prompt: Sequence[int]) -> list[int]:
    """Keys of a prompt's first whole blocks, of which the prefix cache can have all but the last token."""
    return list(islice(block_keys(prompt[:-1]), MOST_BLOCKS))
