"""Opening a board: what is checked before the bitstream is loaded, and what is asked afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import boards
import pytest

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.runtime import registry
from edgellm.runtime.backends import fpga
from edgellm.runtime.backends.fpga import board as loading
from edgellm.runtime.device import MODEL_FILE

pytestmark = pytest.mark.board


@pytest.fixture
def board():
    return boards.install()


def text(name):
    return (boards.design() / name).read_text()


def test_a_board_that_is_as_it_should_be(board):
    device = fpga.open_device(board.fabric.design.model_folder)
    assert (device.name, device.traits.slots, device.traits.stop_ids) == ("fpga", 8, 2)
    device.close()


def test_nothing_is_touched_before_the_files_are_checked(board, tmp_path):
    """No register of the logic, and no clock: PYNQ would have set it."""
    board.fabric._clocks[0xFF5E0000].write(0xC0, 7 << 8 | 1 << 16 | 1 << 24)
    wrong = text("accelerator.hwh").replace('NAME="BUILD" VALUE="0x', 'NAME="BUILD" VALUE="0x1')
    with pytest.raises(BackendUnavailable):
        fpga.open_device(boards.altered(tmp_path, accelerator_hwh=wrong.encode()))
    assert not board.fabric.accesses
    assert board.fabric._clocks[0xFF5E0000].read(0xC0) >> 8 & 63 == 7


@pytest.mark.parametrize("name", ["accelerator.bit", "accelerator.hwh"])
def test_a_file_is_missing(board, tmp_path, name):
    with pytest.raises(
        BackendUnavailable,
        match=rf"{name} is missing: build the design's bitstream with Vivado, or take a bundle that has one",
    ):
        fpga.open_device(boards.altered(tmp_path, **{name.replace(".", "_"): None}))


def another_build():
    return re.sub('NAME="BUILD" VALUE="[^"]*"', 'NAME="BUILD" VALUE="0x00C0FFEE"', text("accelerator.hwh"))


def test_the_hand_off_of_another_build(board, tmp_path):
    with pytest.raises(
        BackendUnavailable, match=r"accelerator\.hwh has an accelerator of build 0x00C0FFEE, "
    ):
        fpga.open_device(boards.altered(tmp_path, accelerator_hwh=another_build().encode()))


def test_a_hand_off_that_pynq_remembers_from_before(board, tmp_path, monkeypatch):
    """PYNQ keeps what it has read of a hand-off, and has been seen to take it for the next one's."""
    stale = boards.altered(tmp_path, accelerator_hwh=another_build().encode()).parent
    read = board.get_bitfile_metadata
    monkeypatch.setattr(board, "get_bitfile_metadata", lambda *_: read(str(stale / "accelerator.bit")))
    build = board.fabric.design.shell.build
    with pytest.raises(
        BackendUnavailable,
        match=rf"^PYNQ takes .*accelerator\.hwh for that of build 00c0ffee, it is of {build:08x}: delete "
        r"_current_metadata\.pkl and global_pl_state_\.json in PYNQ's folder pl_server$",
    ):
        fpga.open_device(board.fabric.design.model_folder)


def test_a_hand_off_without_the_accelerator(board, tmp_path):
    other = text("accelerator.hwh").replace("edgellm:edgellm:accelerator:1.0", "a:b:c:1.0")
    with pytest.raises(BackendUnavailable, match=r"has 0 blocks edgellm:edgellm:accelerator:1.0 where"):
        fpga.open_device(boards.altered(tmp_path, accelerator_hwh=other.encode()))


def test_a_bitstream_for_another_part(board, tmp_path):
    other = (boards.design() / "accelerator.bit").read_bytes().replace(b"xczu3eg", b"xczu7ev")
    with pytest.raises(
        BackendUnavailable, match=r"accelerator\.bit is for xczu7ev-sfvc784-2-e, the design .* for xczu3eg"
    ):
        fpga.open_device(boards.altered(tmp_path, accelerator_bit=other))


def test_the_design_of_another_model(board, tmp_path):
    model = boards.altered(tmp_path)
    (model / MODEL_FILE).write_bytes((model / MODEL_FILE).read_bytes() + b"\x72\x00")
    with pytest.raises(
        BackendUnavailable,
        match=r"design\.json is for a model with the checksum \w{12}, .* compile the model again$",
    ):
        fpga.open_device(model)


def test_a_bitstream_of_another_design(board, tmp_path):
    """Design and hand-off agree, but the logic says another build."""
    design = json.loads(text("design.json"))
    build, design["shell"]["build"] = design["shell"]["build"], 0xC0FFEE
    other = re.sub('NAME="BUILD" VALUE="[^"]*"', 'NAME="BUILD" VALUE="0x00C0FFEE"', text("accelerator.hwh"))
    model = boards.altered(tmp_path, accelerator_hwh=other.encode(), design_json=json.dumps(design).encode())
    with pytest.raises(
        BackendFailed,
        match=rf"^the accelerator's BUILD is {build:#x}, the design's 0xc0ffee: .*accelerator\.bit and .* do not belong "
        "together: build the bitstream again$",
    ):
        fpga.open_device(model)


def test_registers_that_answer_with_something_else(board, monkeypatch):
    monkeypatch.setattr(board.fabric, "map", lambda address, length: silent(board, address, length))
    with pytest.raises(
        BackendFailed, match=r"^no accelerator answers: its identity reads 0x00000000, not 0x4d4c4745; "
    ):
        fpga.open_device(board.fabric.design.model_folder)


def silent(board, address, length):
    from edgellm.sim.board_registers import Mapped, Plain

    if address == board.fabric._places.accelerator:
        return Mapped.of(Plain({}), length)
    return type(board.fabric).map(board.fabric, address, length)


def test_the_clock_is_set_and_read_back(board):
    board.fabric._clocks[0xFF5E0000].write(0xC0, 7 << 8 | 1 << 16 | 1 << 24)
    design = fpga.designs.find(board.fabric.design.model_folder)
    accelerator = loading.load(design)
    assert accelerator.clocks == {0: pytest.approx(100, rel=0.001)}


def test_a_clock_that_is_not_as_asked(board):
    board.fabric._clocks[0xFF5E0000].write(0xC0, 7 << 8 | 1 << 16 | 1 << 24)
    board.fabric.freeze_clocks(True)
    with pytest.raises(
        BackendFailed,
        match=r"^clock 0 of the board runs at 214\.\d+ MHz, the bitstream was made for 100 MHz: restart the board, or check "
        "who else sets its clocks$",
    ):
        fpga.open_device(board.fabric.design.model_folder)
    board.fabric.freeze_clocks(False)
    fpga.open_device(board.fabric.design.model_folder).close()


def test_registers_elsewhere_are_a_bus_error(board, tmp_path):
    other = text("accelerator.hwh").replace("0xA0000000", "0xA0800000").replace("0xA0000FFF", "0xA0800FFF")
    with pytest.raises(
        BackendFailed,
        match=r"PYNQ cannot load .* \(OSError: bus error: nothing answers at address 0xa0800000",
    ):
        fpga.open_device(boards.altered(tmp_path, accelerator_hwh=other.encode()))


OPEN = (
    "from edgellm.runtime import registry; from edgellm.runtime.device import Job; import sys; "
    "device = registry.get('fpga').open(__import__('pathlib').Path(sys.argv[1])); "
    "device.submit(0, Job([4, 9], 1)); print(list(device.poll(9.0))[0].token, type(device).__name__); device.close()"
)


def run(code, *arguments, **variables):
    """Another process, in which PYNQ looks for its devices anew."""
    environment = {k: v for k, v in os.environ.items() if k not in ("XILINX_XRT", "EDGELLM_SIMULATED_BOARD")}
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**environment, **variables},
        cwd=boards.ROOT,
        check=False,
    )
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


def test_pynq_finds_the_simulated_board_by_its_variable():
    """Through the entry point: the driver knows of no simulation."""
    printed = run(OPEN, boards.design() / "model", EDGELLM_SIMULATED_BOARD=str(boards.design()))
    assert printed == f"{boards.judge().generate([4, 9], 1).tokens[0]} StreamedDevice\n"


def test_without_xilinx_xrt():
    assert run(OPEN, boards.design() / "model") == (
        "edgellm.errors.BackendUnavailable: back end fpga does not work here: PYNQ finds no device, because XILINX_XRT is "
        "not set: export XILINX_XRT=/usr and run as root (sudo -E)"
    )


def test_why_there_is_no_device(monkeypatch, tmp_path):
    monkeypatch.setenv("XILINX_XRT", "/usr")
    assert re.fullmatch(
        r"PYNQ finds no device: Linux manages no FPGA here \(/sys/.* is missing\)", loading.absent()
    )
    monkeypatch.setattr(loading, "FPGA_MANAGER", tmp_path)
    assert loading.absent() == "PYNQ finds no device: run as root (sudo -E), whom /dev/mem belongs to"


def test_only_root_may(board, monkeypatch):
    monkeypatch.setattr(loading.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(board, "mmap", refuse)
    with pytest.raises(
        BackendUnavailable,
        match=r"^the board belongs to root \(Root permissions required\.\): run as root \(sudo -E\)$",
    ):
        fpga.open_device(board.fabric.design.model_folder)


def refuse(*_):
    raise OSError("Root permissions required.")


def test_overlay_binds_the_driver_of_its_registers(board):
    """What `pynq.lib` brings: an overlay in a notebook says who it is."""
    import pynq

    overlay = pynq.Overlay(str(boards.design() / "accelerator.bit"))
    found = overlay.accelerator
    assert (found.build, found.slots) == (board.fabric.design.shell.build, 8)
    assert found.status == 1
    assert int(found.register_map.SLOTS) == 8


def test_the_registry_sees_the_board(board):
    assert registry.get("fpga").missing() == []
