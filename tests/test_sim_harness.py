"""The harness against small modules that keep or break the stream rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from rtl_modules import RTL

from edgellm import cache
from edgellm.errors import Deadlock, SimulationError, UsageError
from edgellm.sim import verilator
from edgellm.sim.harness import Simulation

pytestmark = pytest.mark.sim

MODULE = """
module dut #(parameter int W = 80) (
    input logic ap_clk, input logic ap_rst_n,
    input logic [W-1:0] in0_V_TDATA, input logic in0_V_TVALID, output logic in0_V_TREADY,
    output logic [W-1:0] out0_V_TDATA, output logic out0_V_TVALID, input logic out0_V_TREADY);
%s
endmodule
"""
# One register; adds a word of memory; probes its output.
SOUND = """
  logic [7:0] words[2];
  initial $readmemh("words.dat", words, 0, 1);
  initial if (words[1] == 8'hEE) $display("%m");  // a model with a scope, as those of FINN's modules have
  assign in0_V_TREADY = !out0_V_TVALID || out0_V_TREADY;
  always_ff @(posedge ap_clk) begin
    if (in0_V_TREADY) out0_V_TDATA <= in0_V_TDATA + W'(words[in0_V_TDATA[0]]);
    if (!ap_rst_n) out0_V_TVALID <= 1'b0;
    else if (in0_V_TREADY) out0_V_TVALID <= in0_V_TVALID;
  end
  axis_probe #(.ID(7), .W(W)) probe (.ap_clk, .ap_rst_n,
      .tdata(out0_V_TDATA), .tvalid(out0_V_TVALID), .tready(out0_V_TREADY));
  axis_probe #(.ID(9), .W(8)) input_probe (.ap_clk, .ap_rst_n,
      .tdata(in0_V_TDATA[7:0]), .tvalid(in0_V_TVALID), .tready(in0_V_TREADY));
"""
# A beat comes out for every one in, each with a different sin.
BROKEN = {
    "falls": (
        "logic flip; assign in0_V_TREADY = 1'b1; assign out0_V_TDATA = '0;"
        "always_ff @(posedge ap_clk) out0_V_TVALID <= ap_rst_n && in0_V_TVALID;",
        "port out0: TVALID fell before TREADY in cycle",
    ),
    "changes": (
        "assign in0_V_TREADY = 1'b1; always_ff @(posedge ap_clk) begin"
        " out0_V_TVALID <= ap_rst_n; out0_V_TDATA <= out0_V_TDATA + 1; end",
        "port out0: TDATA changed while waiting for TREADY in cycle",
    ),
    "waits for ready": (
        "assign in0_V_TREADY = out0_V_TREADY; assign out0_V_TDATA = '0;"
        "logic full; always_ff @(posedge ap_clk) full <= ap_rst_n;"
        "assign out0_V_TVALID = full && out0_V_TREADY;",
        "port out0: TVALID or TDATA depends on TREADY without a register in cycle",
    ),
    "valid in reset": (
        "assign in0_V_TREADY = 1'b0; assign out0_V_TVALID = 1'b1; assign out0_V_TDATA = '0;",
        "port out0: TVALID is high in reset in cycle",
    ),
    "stops": (
        "assign in0_V_TREADY = 1'b1; assign out0_V_TVALID = 1'b0; assign out0_V_TDATA = '0;"
        "always_ff @(posedge ap_clk) if (in0_V_TVALID && ap_rst_n) $stop;",
        r"\$stop or failed assertion",
    ),
}
WIRE = (
    "assign in0_V_TREADY = out0_V_TREADY; assign out0_V_TVALID = ap_rst_n && in0_V_TVALID;"
    "assign out0_V_TDATA = in0_V_TDATA;"
)
# Takes 20 beats, then nothing.
STUCK = (
    "logic [4:0] count; assign in0_V_TREADY = count < 20; assign out0_V_TVALID = 1'b0; assign out0_V_TDATA = '0;"
    "always_ff @(posedge ap_clk) count <= ap_rst_n ? count + 5'(in0_V_TVALID && in0_V_TREADY) : 0;"
)


def build(folder: Path, body: str, **options: int) -> Path:
    (folder / "dut.sv").write_text(MODULE % body)
    return verilator.build("dut", [RTL / "axis_probe.sv", folder / "dut.sv"], **options)


def words(folder: Path, *values: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "words.dat").write_text("".join(f"{value:x}\n" for value in values))
    return folder


def rows(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 10)).astype(np.uint8)


def plus(beats: np.ndarray, *addends: int) -> list[int]:
    numbers = (int.from_bytes(beat.tobytes(), "little") for beat in beats)
    return [(number + addends[number & 1]) % (1 << 80) for number in numbers]


def numbers(beats: np.ndarray) -> list[int]:
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sound"), SOUND)


@pytest.fixture
def sim(library: Path, tmp_path: Path) -> Simulation:
    sim = Simulation(library, words(tmp_path, 3, 5))
    sim.reset()
    return sim


def test_a_library_in_the_cache_is_held(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    entry = cache.fetch("simulator", "key", lambda work: shutil.copy(library, work / verilator.LIBRARY))
    sim = Simulation(entry / verilator.LIBRARY, words(tmp_path, 3, 5))
    assert cache.clear() == 0
    del sim
    assert cache.clear() > 0


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.0, 0.0), (0.7, 0.2), (0.1, 0.8)])
def test_beats_pass_in_order_with_their_cycles(sim: Simulation, stall_in: float, stall_out: float) -> None:
    sent = rows(1000)
    sim.push("in0", sent[:400])
    sim.push("in0", numbers(sent[400:]))
    assert sim.run(100_000, {"out0": 1000}, stall_in=stall_in, stall_out=stall_out, seed=3)
    got, cycles = sim.pop("out0")
    assert numbers(got) == plus(sent, 3, 5)
    assert (np.diff(cycles.astype(np.int64)) >= 1).all()
    assert (cycles > sim.accepted("in0")).all()
    assert sim.available("out0") == sim.available("in0") == 0


def test_stalls_have_their_probability(sim: Simulation) -> None:
    sim.push("in0", rows(4000))
    before = sim.cycle
    assert sim.run(100_000, {"out0": 4000}, stall_out=0.75)
    assert 4000 / 0.27 < sim.cycle - before < 4000 / 0.23


def test_one_beat_a_cycle_without_stalls(sim: Simulation) -> None:
    sim.push("in0", rows(100))
    assert sim.run(1000, {"out0": 100})
    assert (np.diff(sim.accepted("in0").astype(np.int64)) == 1).all()


def test_same_seed_same_cycles(library: Path, tmp_path: Path) -> None:
    seen = []
    for seed in (1, 1, 2):
        sim = Simulation(library, words(tmp_path, 3, 5))
        sim.reset()
        sim.push("in0", rows(200))
        sim.run(10_000, {"out0": 200}, stall_in=0.3, stall_out=0.3, seed=seed)
        seen.append(sim.pop("out0")[1].tolist())
    assert seen[0] == seen[1] != seen[2]


def test_run_counts_cycles_and_says_when_the_goal_is_missed(sim: Simulation) -> None:
    before = sim.cycle
    assert sim.run(123)
    assert sim.cycle == before + 123
    sim.push("in0", rows(5))
    assert not sim.run(50, {"out0": 6})
    assert sim.cycle == before + 173
    assert sim.run(50, {"out0": 5})
    assert sim.cycle == before + 173


def test_reset_forgets_what_is_inside(sim: Simulation) -> None:
    sim.push("in0", rows(50))
    sim.run(20, stall_out=1.0)
    sim.reset()
    assert sim.available("in0") == 0
    sent = rows(9, seed=2)
    sim.push("in0", sent)
    assert sim.run(100, {"out0": 9})
    assert numbers(sim.pop("out0")[0]) == plus(sent, 3, 5)


def test_probes_record_only_while_on(sim: Simulation) -> None:
    sent = rows(30)
    for on, part in ((False, sent[:10]), (True, sent[10:20]), (False, sent[20:])):
        sim.probe(on)
        sim.push("in0", part)
        assert sim.run(1000, {"out0": 10}, stall_out=0.5, seed=4)
        got, cycles = sim.pop("out0")
        if on:
            recorded, when = sim.probes(7)
            assert np.array_equal(recorded, got)
            assert np.array_equal(when, cycles)
    assert sim.probe_ids() == [7, 9]
    narrow, when = sim.probes(9)
    assert np.array_equal(narrow, sent[10:20, :1])
    assert np.array_equal(when, sim.accepted("in0")[10:20])
    assert sim.probes(1)[0].shape == (0, 0)
    sim.clear_probes()
    assert sim.probe_ids() == []


def test_new_memory_contents_need_no_new_build(library: Path, tmp_path: Path) -> None:
    sent = rows(20)
    here = Path.cwd()
    for addends in ((3, 5), (250, 0)):
        sim = Simulation(library, words(tmp_path / str(addends[0]), *addends))
        sim.reset()
        sim.push("in0", sent)
        assert sim.run(100, {"out0": 20})
        assert numbers(sim.pop("out0")[0]) == plus(sent, *addends)
    assert Path.cwd() == here


def test_second_build_comes_from_the_cache(library: Path, tmp_path: Path) -> None:
    stamp = library.stat().st_mtime_ns
    (tmp_path / "elsewhere").mkdir()
    assert build(tmp_path / "elsewhere", SOUND) == library
    assert library.stat().st_mtime_ns == stamp
    assert os.listdir(library.parent) == ["simulator.so"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"\$readmem file not found \(words.dat:0\)"),
        ("1\n", r"\$readmem file ended before specified final address .*words.dat"),
        ("1\n2\n3\n", r"\$readmem file address beyond bounds of array \(words.dat"),
        ("1\nsheep\n", r"\$readmem file syntax error \(words.dat"),
    ],
)
def test_bad_memory_file(library: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "words.dat").write_text(content)
    with pytest.raises(SimulationError, match=message):
        Simulation(library, tmp_path)


def test_missing_run_directory(library: Path) -> None:
    with pytest.raises(SimulationError, match=r"^the run directory /nowhere does not exist$"):
        Simulation(library, Path("/nowhere"))


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_stream_rules_are_reported(body: str, message: str, tmp_path: Path) -> None:
    sim = Simulation(build(tmp_path, body))

    def use() -> None:
        sim.reset()
        sim.push("in0", rows(300))
        sim.run(300, {"out0": 300}, stall_in=0.5, stall_out=0.5)

    with pytest.raises(SimulationError, match=message):
        use()


def test_unregistered_outputs_are_reported_on_demand(tmp_path: Path) -> None:
    sim = Simulation(build(tmp_path, WIRE))
    sim.reset()
    sim.push("in0", rows(300))
    assert sim.run(1000, {"out0": 300})
    sim.require_registered_outputs()
    with pytest.raises(SimulationError, match="port out0: the output depends on an input without a register"):
        sim.run(1000)


def test_deadlock_names_the_streams_that_wait(tmp_path: Path) -> None:
    sim = Simulation(build(tmp_path, STUCK))
    sim.reset()
    sim.push("in0", rows(25))
    expected = (
        "^nothing moved for 500 cycles before cycle 528: in0 still has 5 beats, out0 gave only 0 beats$"
    )
    with pytest.raises(Deadlock, match=expected):
        sim.run(10_000, {"out0": 1}, idle_limit=500)


def test_model_threads_and_two_simulations_at_once(tmp_path: Path) -> None:
    library = build(tmp_path, SOUND, threads=2)
    sims = [Simulation(library, words(tmp_path, 3, k)) for k in (4, 6)]
    sent = rows(500)

    def work(sim: Simulation) -> None:
        sim.reset()
        sim.probe(True)
        sim.push("in0", sent)
        sim.run(20_000, {"out0": 500}, stall_out=0.3)

    threads = [threading.Thread(target=work, args=(sim,)) for sim in sims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sim, addend in zip(sims, (4, 6), strict=True):
        assert numbers(sim.pop("out0")[0]) == numbers(sim.probes(7)[0]) == plus(sent, 3, addend)


def test_wrong_use_of_ports(sim: Simulation) -> None:
    with pytest.raises(UsageError, match=r"^no stream in5; this module has in0, out0$"):
        sim.push("in5", rows(1))
    with pytest.raises(UsageError, match=r"^stream in0 is an input$"):
        sim.pop("in0")
    with pytest.raises(UsageError, match=r"^stream in0 takes uint8 \[beats, 10\], not uint8 \[1, 9\]$"):
        sim.push("in0", rows(1)[:, 1:])
    with pytest.raises(
        UsageError, match=r"^beat 1 of stream in0, 1208925819614629174706176, does not fit 80 bits$"
    ):
        sim.push("in0", [0, 1 << 80])


def test_not_a_library(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_text("no")
    with pytest.raises(SimulationError, match=f"^cannot load the simulator {tmp_path / 'x.so'}: "):
        Simulation(tmp_path / "x.so")


DELETE_IN_ORDER = """
import sys
from pathlib import Path
from edgellm.sim.harness import Simulation
simulations = [Simulation(Path(sys.argv[1]), Path(sys.argv[2])) for _ in range(3)]
for index in (2, 0, 1):
    simulations[index] = None
print("done")
"""


def test_simulations_end_in_any_order(library: Path, tmp_path: Path) -> None:
    (tmp_path / "words.dat").write_text("00\n01\n")
    command = [sys.executable, "-c", DELETE_IN_ORDER, str(library), str(tmp_path)]
    # freed memory is filled with a pattern, so that using it is an error every time
    environment = {**os.environ, "MALLOC_PERTURB_": "165"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
