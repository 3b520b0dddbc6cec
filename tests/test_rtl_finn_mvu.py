"""FINN's matrix unit around the stand-in of its core gives the same beats in the same cycles as around the original."""

from __future__ import annotations

from pathlib import Path

import finn
import numpy as np
import pytest

from edgellm import resources
from edgellm.compiler import portable
from edgellm.sim import streams, verilator
from edgellm.sim.harness import Simulation

pytestmark = [pytest.mark.sim, pytest.mark.fpga]

FINN_RTL = Path(str(next(iter(finn.__path__)))) / "finn-rtllib"
STAND_INS = resources.rtl() / "finn_sim"
MEMBERS = ("mvu_pkg.sv", "mvu_vvu_axi.sv", "replay_buffer.sv", "mvu_vvu_8sx9_dsp58.sv")
# version, rows, columns, PE, SIMD, weight bits, activation bits, signed activations, narrow weights
SHAPES = [
    (2, 12, 8, 4, 3, 4, 8, 1, 1),
    (2, 6, 3, 3, 1, 2, 8, 1, 1),
    (1, 8, 8, 8, 8, 4, 8, 1, 1),
    (2, 10, 6, 1, 5, 8, 8, 1, 0),
    (2, 16, 6, 6, 16, 3, 4, 0, 1),
]
WIDTHS = (20, 16, 18, 24, 14)  # accumulator bits of each


def port(name: str, bits: int, is_input: bool) -> str:
    ahead, back = ("input", "output") if is_input else ("output", "input")
    return f"{ahead} logic [{bits - 1}:0] {name}_V_TDATA, {ahead} logic {name}_V_TVALID, {back} logic {name}_V_TREADY"


def padded(bits: int) -> int:
    return (bits + 7) // 8 * 8


def top() -> str:
    """All shapes side by side: in<2k> activations, in<2k+1> weights, out<k> sums."""
    ports, units = ["input logic ap_clk", "input logic ap_rst_n"], []
    for k, (version, rows, cols, pe, simd, wb, ab, signed, narrow) in enumerate(SHAPES):
        acc = WIDTHS[k]
        ports.append(port(f"in{2 * k}", padded(simd * ab), True))
        ports.append(port(f"in{2 * k + 1}", padded(pe * simd * wb), True))
        ports.append(port(f"out{k}", padded(pe * acc), False))
        units.append(
            f"mvu_vvu_axi #(.IS_MVU(1), .VERSION({version}), .MW({rows}), .MH({cols}), .PE({pe}), .SIMD({simd}), "
            f".ACTIVATION_WIDTH({ab}), .WEIGHT_WIDTH({wb}), .ACCU_WIDTH({acc}), .NARROW_WEIGHTS({narrow}), "
            f".SIGNED_ACTIVATIONS({signed})) unit{k} (.ap_clk, .ap_clk2x(ap_clk), .ap_rst_n, "
            f".s_axis_input_tdata(in{2 * k}_V_TDATA), .s_axis_input_tvalid(in{2 * k}_V_TVALID), "
            f".s_axis_input_tready(in{2 * k}_V_TREADY), .s_axis_weights_tdata(in{2 * k + 1}_V_TDATA), "
            f".s_axis_weights_tvalid(in{2 * k + 1}_V_TVALID), .s_axis_weights_tready(in{2 * k + 1}_V_TREADY), "
            f".m_axis_output_tdata(out{k}_V_TDATA), .m_axis_output_tvalid(out{k}_V_TVALID), "
            f".m_axis_output_tready(out{k}_V_TREADY));"
        )
    return f"module top ({', '.join(ports)});\n" + "\n".join(units) + "\nendmodule\n"


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> list[Simulation]:
    """Around the original core, and around the stand-in."""
    folder = tmp_path_factory.mktemp("mvu")
    (folder / "top.sv").write_text(top())
    adder = folder / "add_multi.sv"
    adder.write_text(portable.text(adder.name, (FINN_RTL / "mvu" / adder.name).read_text()))
    common = [FINN_RTL / "mvu" / name for name in MEMBERS] + [adder]
    cores = (FINN_RTL / "mvu" / "mvu.sv", STAND_INS / "mvu.sv")
    return [Simulation(verilator.build("top", [*common, core, folder / "top.sv"])) for core in cores]


@pytest.mark.parametrize("stall", [0.0, 0.3], ids=["full rate", "stalls"])
def test_same_beats_in_the_same_cycles(simulators: list[Simulation], stall: float) -> None:
    rng, vectors = np.random.default_rng(7), 9
    seen, expected = [], []
    stimuli = []
    for k, (_, rows, cols, pe, simd, wb, ab, signed, narrow) in enumerate(SHAPES):
        low = -(1 << (wb - 1)) + narrow
        weights = rng.integers(low, 1 << (wb - 1), (rows, cols))
        weights[0, :] = low  # the extremes on purpose
        x = rng.integers(
            -(1 << (ab - 1)) if signed else 0, (1 << (ab - 1)) if signed else 1 << ab, (vectors, rows)
        )
        x[0] = x.min()
        # one beat: PE neurons of SIMD weights each, neuron 0 low; neuron folds outside, synapse folds inside
        folds = (
            weights.T.reshape(cols // pe, pe, rows // simd, simd).transpose(0, 2, 1, 3).reshape(-1, pe * simd)
        )
        stimuli.append((f"in{2 * k}", streams.pack(x.reshape(-1, simd), ab)))
        stimuli.append((f"in{2 * k + 1}", streams.pack(np.tile(folds, (vectors, 1)), wb)))
        expected.append((x @ weights).reshape(-1, pe))
    for sim in simulators:
        sim.reset()
        for name, beats in stimuli:
            sim.push(name, beats)
        goal = {f"out{k}": len(want) for k, want in enumerate(expected)}
        assert sim.run(100_000, goal, stall_in=stall, stall_out=stall, seed=11)
        seen.append([sim.pop(name) for name in goal])
    for k, want in enumerate(expected):
        (rows_a, cycles_a), (rows_b, cycles_b) = seen[0][k], seen[1][k]
        assert np.array_equal(rows_a, rows_b)
        assert np.array_equal(cycles_a - cycles_a[0], cycles_b - cycles_b[0])
        assert np.array_equal(streams.unpack(rows_b, WIDTHS[k], want.shape[1]), want)
