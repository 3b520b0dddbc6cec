"""The project for Vivado: its scripts run with Vivado's commands recorded (vivado_recorder), and faults in them are found."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import plain_design
import pytest

from edgellm import registers
from edgellm.compiler import block_design, boards, hwh, vivado
from edgellm.errors import BoardWithoutProcessors, UsageError

WITH_PROCESSORS = [name for name in boards.names() if boards.load(name).ps]
ALL = [boards.load(name).ps.board_part for name in WITH_PROCESSORS]


def project(folder: Path, board: str = "aup-zu3", name: str = "toy") -> Path:
    """A project of a plain design, beside it."""
    design = plain_design.write(folder / "design", board, name)
    with vivado.project(folder / "vivado", boards.load(board)) as work:
        vivado.fill(design, boards.load(board), work)
    return folder / "vivado"


def run(folder: Path, *scripts: str, **how):
    """The scripts in a recorder; what it has recorded."""
    from vivado_recorder import Vivado

    recorder = Vivado(**{"boards": ALL, **how})
    for script in scripts or ("create_project.tcl",):
        recorder.source(folder / script)
    return recorder


def fails(folder: Path, *scripts: str, **how) -> str:
    """What Vivado would stop with."""
    from vivado_catalog import VivadoError

    with pytest.raises(VivadoError) as error:
        run(folder, *scripts, **how)
    return str(error.value)


def edit(folder: Path, file: str, old: str, new: str) -> Path:
    path = folder / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new))
    return folder


def handed(design: Path) -> list[tuple[str, str, int, int]]:
    """What the hand-off of a design says: address space, cell, first address, bytes."""
    found = []
    for module in ElementTree.parse(design / hwh.FILE).iter("MODULE"):
        for item in module.iter("MEMRANGE"):
            own = module.get("INSTANCE")
            space = "ps/Data" if own == "ps" else f"{own}/{item.get('MASTERBUSINTERFACE')}"
            first, last = (int(item.get(key), 16) for key in ("BASEVALUE", "HIGHVALUE"))
            found.append((space, item.get("INSTANCE"), first, last - first + 1))
    return sorted(found)


def agree(recorder, design: Path) -> bool:
    """Are the addresses those of the hand-off?"""
    assigned = [(a.space, a.segment.partition("/")[0], a.offset, a.size) for a in recorder.assigned]
    return sorted(assigned) == handed(design)


def test_what_is_in_a_project(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "block_design.tcl", "build.tcl", "constraints.xdc", "create_project.tcl", "mem"),
        *("package_ip.tcl", "rtl", "settings.tcl"),
    ]
    assert sorted(p.name for p in (folder / "rtl").iterdir()) == [
        *("accelerator.v", "block.v", "host_interface.sv", "top.sv")
    ]
    readme = (folder / "README.md").read_text()
    assert "Not run in Vivado" in readme
    assert "build 0xC0FFEE01, 200 MHz, 8 slots" in readme
    assert "$" not in readme
    assert str(tmp_path) not in "".join(p.read_text() for p in folder.iterdir() if p.is_file())


@pytest.mark.tcl
@pytest.mark.parametrize("board", WITH_PROCESSORS)
def test_the_scripts_run(tmp_path: Path, board: str) -> None:
    folder = project(tmp_path, board)
    recorder = run(folder, "create_project.tcl", "build.tcl")
    about = boards.load(board)
    assert recorder.preset
    assert recorder.valid
    assert agree(recorder, tmp_path / "design")
    assert recorder.frequency("accelerator/ap_clk") == about.clock_mhz
    assert recorder.frequency("pl_clock/clk_in1") == about.ps.clock_mhz
    assert recorder.core == registers.VLNV
    assert recorder.registers == {field.name: field.offset for field in block_design.fields()}
    assert (folder / "made/project/system.xpr").read_text() == about.part
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        *("accelerator.bit", "accelerator.hwh", "clocks.rpt", "timing.rpt", "utilisation.rpt")
    ]


@pytest.mark.tcl
def test_memory_files_are_named_by_their_whole_path(tmp_path: Path) -> None:
    folder = project(tmp_path)
    run(folder)
    packaged = (folder / "made/rtl/block.v").read_text()
    assert packaged == plain_design.BLOCK.replace('"mem/', f'"{folder}/mem/')
    assert (folder / "rtl/block.v").read_text() == plain_design.BLOCK


@pytest.mark.tcl
def test_jobs_come_from_the_command_line(tmp_path: Path) -> None:
    from vivado_catalog import VivadoError
    from vivado_recorder import Vivado

    folder, recorder = project(tmp_path), Vivado(ALL)
    recorder.source(folder / "create_project.tcl")
    with pytest.raises(VivadoError, match="launch_runs: invalid literal for int"):
        recorder.source(folder / "build.tcl", "many")
    recorder.source(folder / "build.tcl", "8")
    assert recorder.done == ["synth_design", "route_design", "write_bitstream"]


@pytest.mark.tcl
@pytest.mark.parametrize("board", ["aup-zu3", "pynq-z2"])
def test_without_the_boards_files(tmp_path: Path, board: str) -> None:
    folder = project(tmp_path, board)
    part = boards.load(board).ps.board_part
    assert f"Vivado does not know the board {part}: install its files" in fails(folder, boards=[])
    recorder = run(edit(folder, "settings.tcl", f"set board_part {{{part}}}", "set board_part {}"), boards=[])
    assert (recorder.preset, recorder.valid) == (False, True)


@pytest.mark.tcl
@pytest.mark.parametrize(("release", "fine"), [("2023.2.1", False), ("2024.1", True), ("2025.2", True)])
def test_releases_of_vivado(tmp_path: Path, release: str, fine: bool) -> None:
    folder = project(tmp_path)
    if fine:
        assert run(folder, release=release).valid
    else:
        assert fails(folder, release=release) == (
            "this is Vivado 2023.2: the project is written for 2024.1 and later"
        )


@pytest.mark.tcl
@pytest.mark.parametrize("slack", [{"setup": -0.012}, {"hold": -0.001}])
def test_no_bitstream_when_timing_is_not_met(tmp_path: Path, slack: dict[str, float]) -> None:
    folder = project(tmp_path)
    (what, worst), scripts = *slack.items(), ("create_project.tcl", "build.tcl")
    assert fails(folder, *scripts, **slack) == (
        f"timing is not met at 200 MHz: worst {what} slack {worst} ns. Compile again with a lower --clock"
    )
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "clocks.rpt",
        "timing.rpt",
        "utilisation.rpt",
    ]


FAULTS = [
    ("settings.tcl", "{pl_clk0}", "{pl_clk1}", "get_bd_pins: xilinx.com:ip:zynq_ultra_ps_e has no pl_clk1 among its pins"),
    ("settings.tcl", "{saxihp0_fpd_aclk}", "{saxihp1_fpd_aclk}", "has no saxihp1_fpd_aclk among its pins"),
    ("settings.tcl", "PSU__USE__M_AXI_GP1 0", "PSU__USE__M_AXI_GP1 1", "ps/M_AXI_HPM1_FPD is not connected"),
    ("settings.tcl", "PSU__USE__IRQ0", "PSU__USE__IRQO", "no parameter CONFIG.PSU__USE__IRQO"),
    ("settings.tcl", "0xA0010000 0x10000", "0xA0000000 0x10000", "overlap in ps/Data"),
    ("settings.tcl", "0xA0000000 0x1000\n", "0xA0000800 0x1000\n", "do not fit accelerator/s_axi/Reg"),
    ("settings.tcl", "SAXIGP2/HP0_DDR_LOW", "SAXIGP2/HP0_DDR", "no segment ps/SAXIGP2/HP0_DDR"),
    ("settings.tcl", "m_events m_logits", "m_events", "accelerator/m_logits is not connected"),
    ("settings.tcl", "    rtl/block.v\n", "    rtl/blocks.v\n", 'couldn\'t open "'),
    ("settings.tcl", "mem/weights.dat", "mem/weight.dat", "mem/weight.dat is missing"),
    ("block_design.tcl", "accelerator/ap_rst_n", "accelerator/ap_rst", "has no ap_rst among its pins"),
    ("block_design.tcl", " irq_controller/s_axi_aresetn", "", "irq_controller/s_axi_aresetn is not connected"),
    ("block_design.tcl", "CONFIG.NUM_MI 2", "CONFIG.NUM_MI 1", "has no M01_AXI among its interfaces"),
    ("block_design.tcl", "{CONFIG.C_IRQ_CONNECTION 1}", "{}", "axi_intc has no irq among its pins"),
    ("block_design.tcl", "axi to_memory/M00_AXI ps/$memory_port\n", "", "is not connected to accelerator/m_commands"),
    ("block_design.tcl", "wire pl_clock/locked", "wire pl_reset/dcm_locked", "does not drive pl_reset/dcm_locked"),
    ("block_design.tcl", "xilinx.com:ip:proc_sys_reset", "xilinx.com:ip:sys_reset", "no IP xilinx.com:ip:sys_reset"),
    (
        "block_design.tcl",
        "foreach interface $memory_interfaces {\n    assign",
        "foreach interface m_logits {\n    assign",
        "accelerator/m_commands has no addresses",
    ),
    ("block_design.tcl", "save_bd_design", "store_bd_design", 'invalid command name "store_bd_design"'),
    ("block_design.tcl", "validate_bd_design\n", "", "the block design is not validated"),
    ("package_ip.tcl", '"\\"mem/" "\\"$root/mem/"', '"a" "a"', "no memory file mem/weights.dat"),
    ("package_ip.tcl", "set_property range $register_bytes $block", "", "save_core: "),
    ("rtl/accelerator.v", "m_events", "m_event", "Vivado did not find the AXI interface m_events in accelerator.v"),
    ("create_project.tcl", "$root/constraints.xdc", "$root/constraint.xdc", "add_files: no file "),
    ("create_project.tcl", "$made/ip [current", "$made/ips [current", "update_ip_catalog: the repository holds no IP"),
]  # fmt: skip


@pytest.mark.tcl
@pytest.mark.parametrize(("file", "old", "new", "message"), FAULTS)
def test_a_fault_is_found(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    assert message in fails(edit(project(tmp_path), file, old, new))


@pytest.mark.tcl
@pytest.mark.parametrize(
    ("old", "new"),
    [("0xA0000000 0x1000", "0xA0020000 0x1000"), ("memory_bytes {0x80000000}", "memory_bytes {0x40000000}")],
)
def test_addresses_that_are_not_those_of_the_hand_off(tmp_path: Path, old: str, new: str) -> None:
    recorder = run(edit(project(tmp_path), "settings.tcl", old, new))
    assert not agree(recorder, tmp_path / "design")


@pytest.mark.tcl
def test_another_clock_is_noticed(tmp_path: Path) -> None:
    recorder = run(edit(project(tmp_path), "block_design.tcl", "FREQ $clock_mhz", "FREQ 100"))
    assert recorder.frequency("accelerator/ap_clk") == 100
    wrong = edit(project(tmp_path / "b"), "block_design.tcl", "accelerator/ap_clk \\\n", "\\\n")
    assert "accelerator/ap_clk is not connected" in fails(wrong)


@pytest.mark.tcl
def test_the_hand_off_and_the_scripts_follow_the_board_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another port and another address in the board file: both change alike."""
    from edgellm import resources

    changes = {
        "registers_address = 0xA000_0000": "registers_address = 0xA004_0000",
        '"S_AXI_HP0_FPD"': '"S_AXI_HP2_FPD"',
    }
    text = (resources.boards() / "kv260.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "kv260.toml").write_text(text)
    monkeypatch.setattr(resources, "boards", lambda: tmp_path / "boards")
    recorder = run(project(tmp_path, "kv260"))
    assert agree(recorder, tmp_path / "design")
    assert {(a.segment, a.offset) for a in recorder.assigned} >= {
        ("accelerator/s_axi/Reg", 0xA004_0000),
        ("ps/SAXIGP4/HP2_DDR_LOW", 0),
    }


def test_a_board_without_processors_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(BoardWithoutProcessors) as error,
        vivado.project(tmp_path / "v", boards.load("ulx3s-85f")),
    ):
        pass
    assert str(error.value) == (
        "ULX3S 85F has no processing system that Vivado could join the accelerator to: boards that have one are "
        "aup-zu3, kv260, pynq-z2, rfsoc4x2, zcu104"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    for place in (tmp_path, mine):
        with (
            pytest.raises(
                UsageError, match="is neither empty nor a Vivado project of edgellm: name another folder"
            ),
            vivado.project(place, boards.load("kv260")),
        ):
            pass
    assert mine.read_text() == "precious"


def test_an_older_project_is_replaced(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "made").mkdir()
    with vivado.project(folder, boards.load("aup-zu3")) as work:
        vivado.fill(tmp_path / "design", boards.load("aup-zu3"), work)
    assert not (folder / "made").exists()
    assert (folder / "settings.tcl").is_file()


@pytest.mark.tcl
def test_a_name_is_no_script(tmp_path: Path) -> None:
    folder = project(tmp_path, name='a\nexec touch "{x} $pwd [exit 3]')
    assert (folder / "settings.tcl").read_text().startswith("# a_exec_touch___x___pwd__exit_3_ for AUP-ZU3: ")
    assert run(folder).valid


def unknown_modules(sources: list[Path]) -> set[str]:
    """What the sources instantiate and do not define, by slang."""
    import pyslang

    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    known = "--allow-use-before-declare"  # a file of FINN does, and Vivado takes it
    assert driver.parseCommandLine(" ".join(["slang", known, "--top", "accelerator", *map(str, sources)]))
    assert driver.processOptions()
    assert driver.parseAllSources()
    found = driver.createCompilation().getAllDiagnostics()
    wrong = [item for item in found if item.isError()]
    unknown = [item for item in wrong if item.code == pyslang.Diags.UnknownModule]
    assert wrong == unknown
    return {item.args[0] for item in unknown}


@pytest.mark.fpga
@pytest.mark.tcl
def test_a_compiled_design(tmp_path: Path) -> None:
    from compiled import design
    from shapes import TINY

    folder, board = design(TINY), boards.load("aup-zu3")
    with vivado.project(tmp_path / "vivado", board) as work:
        vivado.fill(folder, board, work)
    recorder = run(tmp_path / "vivado", "create_project.tcl", "build.tcl")
    assert agree(recorder, folder)
    assert {p.name for p in (tmp_path / "vivado" / "mem").iterdir()} == {
        p.name for p in (folder / "mem").iterdir()
    }
    packaged = {path.name for path in recorder.files["package"]}
    assert packaged == {Path(n).name for n in (folder / "files.f").read_text().split()} | {
        *("accelerator.v", "host_interface.sv", "host_registers.sv"),
        *("ring_reader.sv", "ring_writer.sv", "shown_logits.sv"),
    }
    assert unknown_modules(recorder.files["package"]) == {"DSP48E2", "LUT6_2"}  # Xilinx primitives
