"""FINN's matrix unit around the core without multipliers: exact sums at every shape, two cycles sooner than around FINN's."""

from __future__ import annotations

from pathlib import Path

import finn
import numpy as np
import pytest

from edgellm import resources
from edgellm.compiler import costs, ternary
from edgellm.errors import CompileError
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Simulation

pytestmark = [pytest.mark.sim, pytest.mark.fpga]

FINN_RTL = Path(str(next(iter(finn.__path__)))) / "finn-rtllib" / "mvu"
MEMBERS = ("mvu_pkg.sv", "replay_buffer.sv", "mvu_vvu_8sx9_dsp58.sv")
ACC = 16
# rows, columns, PE, SIMD, activation bits, signed activations
SHAPES = [
    (12, 8, 4, 3, 8, 1),
    (6, 3, 3, 1, 8, 1),
    (8, 8, 8, 8, 8, 1),
    (10, 6, 1, 5, 4, 1),
    (32, 6, 6, 16, 4, 0),
    (4, 4, 2, 2, 8, 0),
    (64, 16, 8, 32, 8, 1),
]


def padded(bits: int) -> int:
    return (bits + 7) // 8 * 8


def port(name: str, bits: int, is_input: bool) -> str:
    ahead, back = ("input", "output") if is_input else ("output", "input")
    return f"{ahead} logic [{bits - 1}:0] {name}_V_TDATA, {ahead} logic {name}_V_TVALID, {back} logic {name}_V_TREADY"


def stream(name: str, finn_name: str) -> str:
    return ", ".join(
        f".{finn_name}_{part.lower()}({name}_V_{part})" for part in ("TDATA", "TVALID", "TREADY")
    )


def top(unit: str) -> str:
    """All shapes side by side: in<2k> activations, in<2k+1> weights, out<k> sums."""
    ports, units = ["input logic ap_clk", "input logic ap_rst_n"], []
    for k, (rows, cols, pe, simd, bits, signed) in enumerate(SHAPES):
        ports.append(port(f"in{2 * k}", padded(simd * bits), True))
        ports.append(port(f"in{2 * k + 1}", padded(pe * simd * costs.TERNARY), True))
        ports.append(port(f"out{k}", padded(pe * ACC), False))
        units.append(
            f"{unit} #(.IS_MVU(1), .VERSION(2), .MW({rows}), .MH({cols}), .PE({pe}), .SIMD({simd}), "
            f".ACTIVATION_WIDTH({bits}), .WEIGHT_WIDTH(2), .ACCU_WIDTH({ACC}), .NARROW_WEIGHTS(1), "
            f".SIGNED_ACTIVATIONS({signed})) unit{k} (.ap_clk, .ap_clk2x(ap_clk), .ap_rst_n, "
            f"{stream(f'in{2 * k}', 's_axis_input')}, {stream(f'in{2 * k + 1}', 's_axis_weights')}, "
            f"{stream(f'out{k}', 'm_axis_output')});"
        )
    return f"module top ({', '.join(ports)});\n" + "\n".join(units) + "\nendmodule\n"


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> list[Simulation]:
    """Around the ternary core, and around the stand-in of FINN's."""
    folder, stand_in = tmp_path_factory.mktemp("ternary"), resources.rtl() / "finn_sim" / "mvu.sv"
    texts = {path.name: path.read_text() for path in (FINN_RTL / "mvu_vvu_axi.sv", stand_in)}
    built = []
    for number, (unit, files) in enumerate(
        ((ternary.OWN_UNIT, ternary.files(texts)), (ternary.UNIT, texts)),
    ):
        place = folder / str(number)
        place.mkdir()
        for name, text in {**files, "top.sv": top(unit)}.items():
            (place / name).write_text(text)
        members = [*(FINN_RTL / name for name in MEMBERS), *(place / name for name in (*files, "top.sv"))]
        built.append(Simulation(verilator.build("top", members)))
    return built


def stimulus(rng, rows, cols, pe, simd, bits, signed, vectors):
    """(activations, beats of weights, expected sums), extremes included."""
    weights = rng.integers(-1, 2, (rows, cols))
    weights[:, 0], weights[:, -1] = -1, 1
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    x = rng.integers(low, high, (vectors, rows))
    x[0], x[1] = low, high - 1
    folds = weights.T.reshape(cols // pe, pe, rows // simd, simd).transpose(0, 2, 1, 3).reshape(-1, pe * simd)
    return x, np.tile(folds, (vectors, 1)), (x @ weights).reshape(-1, pe)


def run(simulator: Simulation, stall: float, seed: int = 5) -> list[int]:
    """Cycles to the first sum of every shape; the sums are checked."""
    rng, expected = np.random.default_rng(seed), []
    simulator.reset()
    for k, (rows, cols, pe, simd, bits, signed) in enumerate(SHAPES):
        x, folds, sums = stimulus(rng, rows, cols, pe, simd, bits, signed, 9)
        simulator.push(f"in{2 * k}", streams.pack(x.reshape(-1, simd), bits))
        simulator.push(f"in{2 * k + 1}", streams.pack(folds, costs.TERNARY))
        expected.append(sums)
    start = simulator.cycle
    goal = {f"out{k}": len(sums) for k, sums in enumerate(expected)}
    assert simulator.run(100_000, goal, stall_in=stall, stall_out=stall, seed=3)
    seen = [simulator.pop(name) for name in goal]
    for (rows_seen, _), sums in zip(seen, expected, strict=True):
        assert np.array_equal(streams.unpack(rows_seen, ACC, sums.shape[1]), sums)
    return [int(cycles[0]) - start for _, cycles in seen]


@pytest.mark.parametrize("stall", [0.3, 0.7])
def test_exact_sums_under_stalls(simulators: list[Simulation], stall: float) -> None:
    run(simulators[0], stall)


def test_two_cycles_before_finns_core(simulators: list[Simulation]) -> None:
    ours, theirs = (run(simulator, 0.0) for simulator in simulators)
    assert [late - early for early, late in zip(ours, theirs, strict=True)] == [2] * len(SHAPES)


def test_another_finn_is_refused() -> None:
    with pytest.raises(CompileError, match=r"mvu_vvu_axi.sv of this FINN is not the one known here"):
        ternary.unit("module mvu_vvu_axi; endmodule")
