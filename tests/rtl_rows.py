"""What the tests of the row-wise blocks share: vectors in, vectors out, under every kind of back pressure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgellm.sim import streams
from edgellm.sim.harness import Simulation

STALLS = {
    "no stalls": (0.0, 0.0),
    "slow source": (0.8, 0.0),
    "slow sink": (0.0, 0.8),
    "both": (0.4, 0.4),
}


@dataclass(frozen=True)
class Stream:
    """Vectors of one port: values [vectors, elements], `lanes` a beat, `bits` each."""

    values: NDArray[np.integer]
    lanes: int
    bits: int

    @property
    def rows(self) -> streams.Rows:
        return streams.pack(self.values.reshape(-1, self.lanes), self.bits)

    @property
    def vectors(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Trace:
    """Cycles in which beats moved: [vectors, beats]."""

    accepted: dict[str, NDArray[np.int64]]
    emitted: NDArray[np.int64]

    @property
    def intervals(self) -> NDArray[np.int64]:
        """Cycles between the last beats of neighbouring vectors."""
        return np.diff(self.emitted[:, -1])


def check(
    sim: Simulation, inputs: Mapping[str, Stream], expected: Stream, stalls: tuple[float, float] = (0, 0)
) -> Trace:
    """Push `inputs`, compare everything that comes out of out0 with `expected`, and nothing may be left over."""
    before = {name: len(sim.accepted(name)) for name in inputs}
    for name, stream in inputs.items():
        sim.push(name, stream.rows)
    rows = expected.rows
    stall_in, stall_out = stalls
    assert sim.run(
        2_000_000, {"out0": len(rows)}, stall_in=stall_in, stall_out=stall_out, seed=7, idle_limit=1000
    )
    got, cycles = sim.pop("out0")
    differing = np.flatnonzero((got != rows).any(axis=1))
    assert differing.size == 0, f"beats {differing[:8]} of {len(rows)} differ"
    assert sim.run(200)
    assert sim.available("out0") == 0
    accepted = {
        name: sim.accepted(name)[before[name] :].astype(np.int64).reshape(stream.vectors, -1)
        for name, stream in inputs.items()
    }
    return Trace(accepted, cycles.astype(np.int64).reshape(expected.vectors, -1))


def interrupt(sim: Simulation, inputs: Mapping[str, Stream], cycles: int) -> None:
    """Run for a few cycles into `inputs`, then reset."""
    for name, stream in inputs.items():
        sim.push(name, stream.rows)
    sim.run(cycles, stall_in=0.2, stall_out=0.2, seed=cycles)
    sim.reset()
