"""Command and event words of the accelerator (docs/hardware.md, "Streams"): one place for the driver and the simulator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from edgellm.errors import UsageError
from edgellm.numerics.sampling import GREEDY, Sampling

SUBMIT, CANCEL, COPY = 1 << 28, 2 << 28, 3 << 28
Logits = Literal["none", "chosen", "all"]
FLAGS: dict[Logits, int] = {"none": 0, "chosen": 1 << 24, "all": 3 << 24}
NO_STOP = 0xFFFF
STOP_IDS = 2
MOST = 0xFFFF  # of a count in a word
REJECTED = "rejected"
REASONS = {1: "stop", 2: "length", 3: "context", 4: REJECTED, 5: "cancelled"}


@dataclass(frozen=True, slots=True)
class Event:
    """A generated token; `reason` is set with the last one of an answer, `cycle` where somebody counts them."""

    token: int
    slot: int
    reason: str | None
    cycle: int = 0


def submit(
    slot: int,
    prompt: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int] = (),
    start: int = 0,
    sampling: Sampling = GREEDY,
    logits: Logits = "none",
) -> list[int]:
    """Words that put a prompt into `slot`, first token at position `start`. UsageError for more than two stop ids.

    `logits`: which go to the host, those of `chosen` tokens or of `all`, the prompt's too.
    """
    if len(stop_ids) > STOP_IDS:
        raise UsageError(
            f"{len(stop_ids)} stop ids: the accelerator compares {STOP_IDS}; use stop strings instead"
        )
    first, second = (*stop_ids, NO_STOP, NO_STOP)[:STOP_IDS]
    header = [
        SUBMIT | FLAGS[logits] | slot << 16 | len(prompt),
        min(max_tokens, MOST) << 16 | start,
        second << 16 | first,
    ]
    wish = [sampling.temperature << 16, sampling.seed & 0xFFFFFFFF, sampling.seed >> 32]
    return [*header, *wish, *prompt]


def cancel(slot: int) -> list[int]:
    """Let the next token of `slot` be its last; nothing happens when the slot is free."""
    return [CANCEL | slot << 16]


def copy(source: int, target: int, positions: int) -> list[int]:
    """Fill the first `positions` of a free slot from another one, which must have filled them."""
    return [COPY | target << 16 | positions, source]


def event(word: int, cycle: int = 0) -> Event:
    """What an event says."""
    reason = REASONS.get(word >> 25 & 7, REJECTED) if word >> 24 & 1 else None
    return Event(word & 0xFFFF, word >> 16 & 0xFF, reason, cycle)


def tag_slot(tag: int) -> int:
    """Slot of the tag before a vector of logits."""
    return tag >> 16 & 0xFF
