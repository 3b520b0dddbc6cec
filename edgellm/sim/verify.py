"""Every stream of every node against the golden model; the first deviation gets an address.

The order of vectors at the block's nodes is that of the tags that entered it, so the recorded block tags say which token and
layer a vector belongs to; no assumption about how passes interleave is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import Deviation, SimulationError
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.sampling import GREEDY, Sampling, choose, scores, step_bits_of
from edgellm.runtime.words import Event
from edgellm.sim.accelerator import Accelerator
from edgellm.sim.design import Probe

LOOP, BLOCK_TAG = "loop", "block_tag"
BEFORE = ("embed",)  # taps of every token, before the block
BEHIND = ("final_norm", "head_acc", "logits", "sampler", "argmax")  # taps of tokens whose logits are needed
Place = tuple[int, int | None]  # token (its position), layer


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, all of it equal."""

    tokens: list[int]
    finish_reason: str
    nodes: int
    vectors: int
    values: int
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Expected:
    """The golden model's run: tokens, why it ended, and every tensor by (tap, layer, position)."""

    tokens: list[int]
    finish_reason: str
    tensors: dict[tuple[str, int | None, int], NDArray[Any]]
    prompt: int


def verify(
    device: Accelerator,
    golden: GoldenModel,
    prompt_ids: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int],
    sampling: Sampling = GREEDY,
) -> Verification:
    """Run one prompt on the device and compare. Raises Deviation for the first value that differs."""
    expected = expect(golden, prompt_ids, max_tokens, stop_ids, sampling)
    device.probe(True)
    # one more than the golden answer: a wrong device must not run on to the end of the context
    device.submit(0, prompt_ids, min(max_tokens, len(expected.tokens) + 1), stop_ids, sampling=sampling)
    events: list[Event] = []
    while not events or events[-1].reason is None:
        events += device.wait()
    device.probe(False)
    vectors, values, nodes = _compare(device, expected)
    tokens = [event.token for event in events if event.reason != "stop"]
    reason = events[-1].reason or ""
    if (tokens, reason) != (expected.tokens, expected.finish_reason):
        raise SimulationError(
            f"every stream equals the golden model, but the events do not: {reason} after {tokens} instead of "
            f"{expected.finish_reason} after {expected.tokens}"
        )
    return Verification(tokens, reason, nodes, vectors, values, events)


def expect(
    golden: GoldenModel,
    prompt_ids: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int],
    sampling: Sampling = GREEDY,
) -> Expected:
    """Run the golden model and keep every tensor, and the scores that tokens are chosen by."""
    answer = golden.generate(prompt_ids, max_tokens, stop_ids, sampling)
    step_bits = step_bits_of(golden.model.logit_step)
    fed = [*prompt_ids, *answer.tokens]
    if answer.finish_reason != "stop":
        fed.pop()
    tensors: dict[tuple[str, int | None, int], NDArray[Any]] = {}
    cache = golden.new_cache()
    for position, token in enumerate(fed):

        def keep(name: str, layer: int | None, tensor: NDArray[Any], position: int = position) -> None:
            tensors[name, layer, position] = np.array(tensor, np.int64).reshape(-1)

        logits = golden.step(cache, token, position, keep)
        keep("sampler", None, scores(logits, sampling, position, step_bits))
        keep("argmax", None, np.array([choose(logits, sampling, position, step_bits)]))
    return Expected(answer.tokens, answer.finish_reason, tensors, len(prompt_ids))


def block_places(device: Accelerator) -> list[Place]:
    """(position, layer) of each vector that went through the block, in order."""
    probe = next(p for p in device.design.probes if p.node == LOOP and BLOCK_TAG in p.tensor)
    tags = (_number(row, probe) for row in device.recorded(probe)[0])
    return [(tag & 0xFFFF, tag >> 32) for tag in tags]  # docs/hardware.md, "Streams"


def places(probe: Probe, in_block: Sequence[Place], prompt: int, layers: int) -> list[Place]:
    """Which token and layer each vector of a tapped stream belongs to."""
    if probe.tap not in (*BEFORE, *BEHIND):
        return list(in_block)
    if probe.tap in BEFORE:
        return [(position, None) for position, layer in in_block if layer == 0]
    return [
        (position, None) for position, layer in in_block if layer == layers - 1 and position >= prompt - 1
    ]


def _compare(device: Accelerator, expected: Expected) -> tuple[int, int, int]:
    in_block = block_places(device)
    layers = device.design.layers
    tapped = [probe for probe in device.design.probes if probe.tap is not None]
    found: list[tuple[tuple[int, int, int], SimulationError]] = []
    vectors = values = 0
    for rank, probe in enumerate(tapped):
        got = device.recorded(probe)[0]
        where = places(probe, in_block, expected.prompt, layers)
        if len(got) < len(where) and not found:
            found_at = where[len(got)]
            found.append((_order(found_at, rank, probe, layers), _missing(probe, found_at)))
        for vector, place in zip(got, where, strict=False):
            want = expected.tensors.get((probe.tap or "", place[1], place[0]))
            if want is None:  # a token that the golden model never saw: something before it differs
                break
            wrong = np.flatnonzero(_in_order(vector, probe) != want)
            if wrong.size:
                found.append(
                    (
                        _order(place, rank, probe, layers),
                        _deviation(probe, place, vector, want, int(wrong[0])),
                    )
                )
                break
            vectors, values = vectors + 1, values + vector.size
    if found:
        raise min(found, key=lambda item: item[0])[1]
    return vectors, values, len(tapped)


def _order(place: Place, rank: int, probe: Probe, layers: int) -> tuple[int, int, int]:
    """Pipeline order: token, then layer with the head behind the last, then node."""
    position, layer = place
    depth = layer if layer is not None else -1 if probe.tap in BEFORE else layers
    return position, depth, rank


def _deviation(
    probe: Probe, place: Place, vector: NDArray[Any], want: NDArray[Any], channel: int
) -> Deviation:
    got = _in_order(vector, probe)
    return Deviation(probe.node, place[0], place[1], channel, int(want[channel]), int(got[channel]))


def _missing(probe: Probe, place: Place) -> SimulationError:
    return SimulationError(f"node {probe.node} gave no vector for token {place[0]}, layer {place[1]}")


def _in_order(vector: NDArray[Any], probe: Probe) -> NDArray[Any]:
    """Channels in the contract's order; a token beat becomes its token."""
    if probe.order == "interleaved":
        return vector.reshape(-1, 2).T.reshape(-1)
    if probe.tap == "argmax":
        return np.array([_number(vector, probe) >> 32 & 0xFFFF])
    return vector


def _number(vector: NDArray[Any], probe: Probe) -> int:
    """A tag or token: one number, lowest lane first."""
    return sum(
        (int(value) & (1 << probe.bits) - 1) << index * probe.bits for index, value in enumerate(vector)
    )
