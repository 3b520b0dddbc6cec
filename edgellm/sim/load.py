"""Cycles of the simulated accelerator under load: one stream at a position, all slots busy, and the first token of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgellm.errors import UsageError
from edgellm.runtime.words import Event
from edgellm.sim.accelerator import Accelerator

WARM_TOKENS = 4  # of every slot before the pipeline counts as full


@dataclass(frozen=True, slots=True)
class Load:
    """Simulated cycles; `position` is that of the tokens in the middle of what was counted."""

    slots: int
    position: int
    first_token: int  # from the first command word to the first token's event, of a prompt of `prompt` tokens
    prompt: int
    single: float  # cycles a token, one stream
    busy: float  # cycles a token, all slots

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def measure(
    device: Accelerator, position: int = 64, prompt: int = 32, window: int = 16, seed: int = 1
) -> Load:
    """Run random tokens: `window` tokens around `position` are counted in each case, nothing ends early.

    Cycles do not depend on the tokens, only on where they are.
    Raises: UsageError when the context has no room for that.
    """
    last = position + window // 2 + WARM_TOKENS
    if prompt < 1 or position - window // 2 - WARM_TOKENS < 1 or last >= device.design.context:
        raise UsageError(
            f"position {position} with {window} tokens around it: must lie {window // 2 + WARM_TOKENS + 1} inside the "
            f"context of {device.design.context}"
        )
    rng = np.random.default_rng(seed)
    first = _first_token(device, _tokens(rng, device, prompt))
    start = position - window // 2 - WARM_TOKENS
    for slot in range(device.design.slots):
        device.submit(slot, _tokens(rng, device, start), 1)
    _finish(device, device.design.slots)
    again = [_tokens(rng, device, 1) for _ in range(device.design.slots)]
    single = _rate(device, again[:1], start, window + 2 * WARM_TOKENS)
    busy = _rate(device, again, start, window + 2 * WARM_TOKENS)
    return Load(device.design.slots, position, first, prompt, single, busy)


def _tokens(rng: np.random.Generator, device: Accelerator, count: int) -> list[int]:
    return [int(token) for token in rng.integers(0, device.design.vocab, count)]


def _first_token(device: Accelerator, prompt: Sequence[int]) -> int:
    start = device.cycle
    device.submit(0, prompt, 1)
    return _finish(device, 1)[0].cycle - start


def _rate(device: Accelerator, prompts: Sequence[Sequence[int]], start: int, tokens: int) -> float:
    """Cycles between events, over those that come while every slot is past its first and before its last few.

    The slots go on at position `start`, which they have filled, so that all generate at the same time.
    """
    for slot, prompt in enumerate(prompts):
        device.submit(slot, prompt, tokens, start=start)
    events = _finish(device, len(prompts))
    by_slot = [[event.cycle for event in events if event.slot == slot] for slot in range(len(prompts))]
    begin, end = (
        max(cycles[WARM_TOKENS - 1] for cycles in by_slot),
        min(cycles[-WARM_TOKENS] for cycles in by_slot),
    )
    counted = [event.cycle for event in events if begin <= event.cycle <= end]
    return (counted[-1] - counted[0]) / (len(counted) - 1)


def _finish(device: Accelerator, answers: int) -> list[Event]:
    events: list[Event] = []
    while sum(event.reason is not None for event in events) < answers:
        events += device.wait()
    return events
