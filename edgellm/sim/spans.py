"""When each node's vectors left it, of every slot at once: the recorded tags of the block say whose vector it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.sim.accelerator import Accelerator
from edgellm.sim.design import Probe
from edgellm.sim.verify import BEFORE, BLOCK_TAG, LOOP

HEAD = "final_norm"  # first node behind the block
LOGITS = 1 << 24  # flag of a tag: the head runs for this token


@dataclass(frozen=True, slots=True)
class Pass:
    """One trip of a token through the block."""

    slot: int
    position: int
    layer: int
    logits: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A vector leaving a node: cycles of its first and last beat. `layer` is None outside of the block."""

    node: str
    slot: int
    position: int
    layer: int | None
    first: int
    last: int


def recorded(device: Accelerator) -> list[Span]:
    """Spans of all computing nodes in the order of their first beats; the recording must begin with an idle device."""
    trips = passes(device)
    probes = [probe for probe in device.design.probes if probe.tap is not None]
    behind = min((probe.id for probe in probes if probe.node == HEAD), default=len(device.design.probes))
    spans = [
        Span(probe.node, trip.slot, trip.position, _layer(probe, behind, trip), int(beats[0]), int(beats[-1]))
        for probe in probes
        for trip, beats in zip(
            _of(probe, behind, trips, device.design.layers), device.recorded(probe)[1], strict=False
        )
    ]
    return sorted(spans, key=lambda span: (span.first, span.last))


def passes(device: Accelerator) -> list[Pass]:
    """Trips through the block in the order in which they began."""
    probe = next(p for p in device.design.probes if p.node == LOOP and BLOCK_TAG in p.tensor)
    return [
        Pass(tag >> 16 & 0xFF, tag & 0xFFFF, tag >> 32, bool(tag & LOGITS))
        for tag in _numbers(device.recorded(probe)[0], probe.bits)
    ]


def _of(probe: Probe, behind: int, trips: list[Pass], layers: int) -> list[Pass]:
    """The trips that send a vector through a node; the loop keeps their order (docs/hardware.md)."""
    if probe.tap in BEFORE:
        return [trip for trip in trips if trip.layer == 0]
    if probe.id >= behind:
        return [trip for trip in trips if trip.layer == layers - 1 and trip.logits]
    return trips


def _layer(probe: Probe, behind: int, trip: Pass) -> int | None:
    return None if probe.tap in BEFORE or probe.id >= behind else trip.layer


def _numbers(vectors: NDArray[Any], bits: int) -> list[int]:
    """Unsigned numbers of vectors [n, lanes] with `bits` a lane, lowest lane first."""
    lanes = np.asarray(vectors, np.int64) & (1 << bits) - 1
    return [int(number) for number in (lanes << bits * np.arange(lanes.shape[1])).sum(axis=1)]
