"""Where the cycles of one token go: which node was busy when, and which node each cycle of the token's way belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgellm.sim.accelerator import Accelerator
from edgellm.sim.design import Probe
from edgellm.sim.verify import block_places, places


@dataclass(frozen=True, slots=True)
class Span:
    """A vector leaving a node: cycles of its first and last beat."""

    node: str
    layer: int | None
    first: int
    last: int


def of_token(device: Accelerator, position: int, prompt: int) -> list[Span]:
    """Spans of one recorded token, in the order in which their last beats left.

    The recording must hold one answer in slot 0 whose prompt had `prompt` tokens.
    """
    in_block = block_places(device)
    spans: list[Span] = []
    for probe in _tapped(device):
        cycles = device.recorded(probe)[1]
        where = places(probe, in_block, prompt, device.design.layers)
        for beats, (token, layer) in zip(cycles, where, strict=False):
            if token == position:
                spans.append(Span(probe.node, layer, int(beats[0]), int(beats[-1])))
    return sorted(spans, key=lambda span: span.last)


def shares(spans: Sequence[Span]) -> dict[str, int]:
    """Cycles by node along the token's way: each node is charged the time from the last beat before it to its own.

    They add up to the token's latency from the embedding's last beat to the sampled token's.
    """
    total: dict[str, int] = defaultdict(int)
    for before, span in pairwise(spans):
        total[span.node] += span.last - before.last
    return dict(total)


def output_cycles(device: Accelerator) -> dict[str, int]:
    """Median cycles from the first to the last beat of a vector, per node: what the report shows as measured."""
    result: dict[str, int] = {}
    for probe in _tapped(device):
        cycles = device.recorded(probe)[1]
        if len(cycles):
            result[probe.node] = int(np.median(cycles[:, -1] - cycles[:, 0])) + 1
    return result


def _tapped(device: Accelerator) -> list[Probe]:
    return [probe for probe in device.design.probes if probe.tap is not None]
