"""stream_fork.sv: every consumer gets every beat, at its own pace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rtl_modules import RTL

from edgellm.errors import Deadlock, SimulationError
from edgellm.sim import verilator
from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim

WRAPPER = """
module top #(parameter int W = 24) (
    input logic ap_clk, input logic ap_rst_n,
    input logic [W-1:0] in0_V_TDATA, input logic in0_V_TVALID, output logic in0_V_TREADY,
{ports});
  stream_fork #(.K({k}), .W(W)) fork_ (
      .ap_clk, .ap_rst_n, .in0_V_TDATA, .in0_V_TVALID, .in0_V_TREADY,
      .out_V_TDATA({{{data}}}), .out_V_TVALID({{{valid}}}), .out_V_TREADY({{{ready}}}));
endmodule
"""


def fork(run_dir: Path, consumers: int, width: int) -> Simulation:
    """A fork with separate output ports."""
    outputs = range(consumers)
    ports = ",\n".join(
        f"    output logic [W-1:0] out{k}_V_TDATA, output logic out{k}_V_TVALID, input logic out{k}_V_TREADY"
        for k in outputs
    )
    wires = {
        role: ", ".join(f"out{k}_V_T{role.upper()}" for k in reversed(outputs))
        for role in ("data", "valid", "ready")
    }
    (run_dir / "top.sv").write_text(WRAPPER.format(ports=ports, k=consumers, **wires))
    library = verilator.build("top", [RTL / "stream_fork.sv", run_dir / "top.sv"], {"W": width})
    sim = Simulation(library)
    sim.require_registered_outputs()
    sim.reset()
    return sim


@pytest.fixture(params=[(2, 32), (3, 520), (1, 8)], ids=lambda p: f"{p[0]} of {p[1]} bit")
def sim(request: pytest.FixtureRequest, tmp_path: Path) -> Simulation:
    return fork(tmp_path, *request.param)


def outputs(sim: Simulation) -> list[str]:
    return [name for name, port in sim.ports.items() if not port.is_input]


def beats(sim: Simulation, count: int) -> np.ndarray:
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, sim.ports["in0"].bytes)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_each_consumer_gets_every_beat(sim: Simulation, seed: int) -> None:
    sent = beats(sim, 500)
    sim.push("in0", sent)
    stalls = {name: (0.7, 0.0, 0.9)[(k + seed) % 3] for k, name in enumerate(outputs(sim))}
    goal = dict.fromkeys(outputs(sim), 500)
    assert sim.run(50_000, goal, stall_in=0.1 * seed, stall_out=stalls, seed=seed)
    for name in outputs(sim):
        assert np.array_equal(sim.pop(name)[0], sent)


def test_one_beat_a_cycle_one_cycle_later(sim: Simulation) -> None:
    sim.push("in0", beats(sim, 100))
    assert sim.run(1000, dict.fromkeys(outputs(sim), 100))
    for name in outputs(sim):
        assert np.array_equal(sim.pop(name)[1], sim.accepted("in0") + 1)


def test_a_consumer_that_waits_holds_the_others_after_one_beat(tmp_path: Path) -> None:
    sim = fork(tmp_path, 2, 32)
    sim.push("in0", beats(sim, 5))
    with pytest.raises(Deadlock, match="in0 still has 4 beats, out0 gave only 1 beats"):
        sim.run(10_000, {"out0": 5}, stall_out={"out1": 1.0}, idle_limit=100)


def test_reset_in_the_middle(sim: Simulation) -> None:
    sim.push("in0", beats(sim, 50))
    sim.run(17, stall_out=0.5)
    sim.reset()
    sent = beats(sim, 20)
    sim.push("in0", sent)
    assert sim.run(1000, dict.fromkeys(outputs(sim), 20), stall_out=0.5)
    for name in outputs(sim):
        assert np.array_equal(sim.pop(name)[0], sent)


def test_bad_parameters(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="W=0, must be at least 1"):
        fork(tmp_path, 2, 0)
