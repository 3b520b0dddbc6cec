"""Whose turn it is: priorities first, then fair shares between clients, then who came first.

Start-time fair queueing (Goyal, Vin, Cheng 1996) in tokens: an order starts at the virtual time at which its client's last one
ended, or now if that is later; the earliest start is next. Nobody starves: every eighth turn goes to the priority that was passed
over for longest.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

EIGHTH = 8  # of the turns is for priorities that are passed over


@dataclass(slots=True)
class Share:
    """What a client has had."""

    start: int  # virtual time of its next order, tokens


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the queue."""

    client: str
    priority: int
    cost: int  # tokens at most
    number: int = 0  # of arrival
    share: Share | None = None  # that was charged the cost


T = TypeVar("T", bound=Ticket)


@dataclass(slots=True)
class _Level(Generic[T]):
    """Those of one priority, by client; who has none waiting is not in it."""

    lines: dict[str, deque[T]] = field(default_factory=dict)
    served: int = 0  # turn in which one of them was last


class FairQueue(Generic[T]):
    """Tickets that wait, and what their clients have had while others waited."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level[T]] = {}
        self._shares: dict[str, Share] = {}
        self._now = 0  # virtual time: start of the latest order
        self._turn = 0
        self._numbers = itertools.count(1)
        self._count = self.tokens = 0

    def __len__(self) -> int:
        return self._count

    def push(self, ticket: T) -> None:
        """Wait."""
        level = self._levels.get(ticket.priority)
        if level is None:
            level = self._levels[ticket.priority] = _Level(served=self._turn)
        line = level.lines.get(ticket.client)
        if line is None:
            line = level.lines[ticket.client] = deque()
            share = self._shares.setdefault(ticket.client, Share(self._now))
            share.start = max(share.start, self._now)
        ticket.number = next(self._numbers)
        line.append(ticket)
        self._count += 1
        self.tokens += ticket.cost

    def pop(self) -> T:
        """Who is next; there must be one. Its client is charged the cost."""
        self._turn += 1
        level = self._levels[self._priority()]
        level.served = self._turn
        shares = self._shares
        line = min(level.lines.values(), key=lambda line: (shares[line[0].client].start, line[0].number))
        ticket = line[0]
        ticket.share = share = shares[ticket.client]
        self._now = max(self._now, share.start)
        share.start += ticket.cost
        self.remove(ticket)
        return ticket

    def _priority(self) -> int:
        if len(self._levels) == 1 or self._turn % EIGHTH:
            return max(self._levels)
        return min(self._levels, key=lambda priority: (self._levels[priority].served, -priority))

    def remove(self, ticket: T) -> None:
        """Leave the queue; the ticket must be in it."""
        level = self._levels[ticket.priority]
        line = level.lines[ticket.client]
        line.remove(ticket)
        self._count -= 1
        self.tokens -= ticket.cost
        if not line:
            del level.lines[ticket.client]
        if not level.lines:
            del self._levels[ticket.priority]
        if not self._count:  # with nobody waiting, shares are nobody's concern
            self._shares.clear()

    def settle(self, ticket: T, used: int) -> None:
        """An order that was popped has ended: its client is charged the tokens that it used and no more."""
        if ticket.share is not None:
            ticket.share.start -= ticket.cost - used
