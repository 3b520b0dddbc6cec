"""Several prompts at once, a slot each, and what the pipeline did while all of them were generating."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgellm.errors import SimulationError
from edgellm.runtime.words import Event
from edgellm.sim import spans
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.spans import Span

SHOWN_SPANS = 480  # most that a picture of the pipeline gets


@dataclass(frozen=True, slots=True)
class Load:
    """What one node sent between two cycles: vectors, the keys that their tokens saw, and the share of cycles it sent."""

    vectors: int
    keys: int
    busy: float


@dataclass(frozen=True, slots=True)
class FullPipeline:
    """The cycles from `first` to `last`, in which `slots` slots generated `tokens` tokens, and spans of its beginning."""

    slots: int
    first: int
    last: int
    tokens: int
    nodes: dict[str, Load]
    shown_until: int
    spans: list[Span]

    @property
    def cycles_per_token(self) -> float:
        """From one token, of whatever slot, to the next."""
        return (self.last - self.first) / self.tokens


def run(
    device: Accelerator, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: Collection[int]
) -> list[list[Event]]:
    """Answer prompt k in slot k, all at once, and record it; at most as many as there are slots. Events by slot.

    Raises SimulationError for a prompt that the accelerator rejects.
    """
    device.probe(True)
    for slot, ids in enumerate(prompts):
        device.submit(slot, ids, max_tokens, stop_ids)
    answers: list[list[Event]] = [[] for _ in prompts]
    while not all(events and events[-1].reason for events in answers):
        for event in device.wait():
            answers[event.slot].append(event)
            if event.reason == "rejected":
                raise SimulationError(f"the accelerator rejected the prompt of slot {event.slot}")
    device.probe(False)
    return answers


def measure(device: Accelerator, answers: Sequence[Sequence[Event]]) -> FullPipeline | None:
    """What was recorded while every slot had its first token and none its last; None when there was no such time."""
    first = max(events[0].cycle for events in answers)
    last = min(events[-1].cycle for events in answers)
    tokens = sum(first < event.cycle <= last for events in answers for event in events)
    if not tokens:
        return None
    found = spans.recorded(device)
    shown = [span for span in found if span.last >= first and span.first <= last][:SHOWN_SPANS]
    until = max(span.first for span in shown)
    return FullPipeline(len(answers), first, last, tokens, _loads(found, first, last), until, shown)


def _loads(found: Sequence[Span], first: int, last: int) -> dict[str, Load]:
    by_node: dict[str, list[Span]] = defaultdict(list)
    for span in found:
        by_node[span.node].append(span)
    return {node: _load(own, first, last) for node, own in by_node.items()}


def _load(own: Sequence[Span], first: int, last: int) -> Load:
    """Of one node in the cycles first + 1 to last; a vector counts where its last beat is."""
    inside = [span for span in own if first < span.last <= last]
    sent = sum(max(0, min(span.last, last) - max(span.first, first + 1) + 1) for span in own)
    return Load(len(inside), sum(span.position + 1 for span in inside), sent / (last - first))
