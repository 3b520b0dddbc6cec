"""What `edgellm doctor` says of a board."""

from __future__ import annotations

import json

import boards
import pytest

from edgellm.cli import main
from edgellm.runtime.backends.fpga import board as loading
from edgellm.runtime.backends.fpga import diagnosis

pytestmark = pytest.mark.board


def told(findings):
    return {one.subject: (one.well, one.text) for one in findings}


def test_a_healthy_board():
    board = boards.install()
    assert told(diagnosis.platform())["devices"] == (True, "edgellm simulated board")
    found = told(diagnosis.design(boards.design() / "model"))
    assert [*found] == ["design", "files", "bitstream", "clock"]
    assert all(well for well, _ in found.values())
    assert found["files"][1] == "edgellm_simulated_board for xczu3eg-sfvc784-2-e, accelerator at 200 MHz"
    assert found["bitstream"][1].startswith(
        "the accelerator answers: 8 slots, clock 0 at 99.999 MHz, interrupts"
    )
    assert board.fabric.simulation.read(0x14) == 1  # idle, in reset


def test_a_broken_board_says_where(tmp_path):
    board = boards.install()
    board.fabric._clocks[0xFF5E0000].write(0xC0, 7 << 8 | 1 << 16 | 1 << 24)
    board.fabric.freeze_clocks(True)
    found = told(diagnosis.design(boards.design() / "model"))
    assert [well for well, _ in found.values()] == [True, True, False]
    assert found["bitstream"][1].startswith("clock 0 of the board runs at 214.")
    model = boards.altered(tmp_path, accelerator_bit=b"not one")
    assert told(diagnosis.design(model))["files"] == (
        False,
        f"{tmp_path}/design/accelerator.bit: not a .bit file: give the bitstream that Vivado's write_bitstream made",
    )
    assert told(diagnosis.design(tmp_path))["design"][0] is False


def test_no_device(monkeypatch):
    monkeypatch.setattr(loading, "devices", list)
    monkeypatch.delenv("XILINX_XRT", raising=False)
    monkeypatch.setattr(diagnosis.os, "geteuid", lambda: 1000)
    found = told(diagnosis.platform())
    assert found["XILINX_XRT"] == (False, "not set: export XILINX_XRT=/usr")
    assert found["root"] == (False, "no: run as root (sudo -E), for /dev/mem and the FPGA manager")
    assert found["FPGA manager"] == (False, "/sys/class/fpga_manager/fpga0 is missing")
    assert found["devices"][1].startswith("PYNQ finds no device, because XILINX_XRT is not set: ")


def test_doctor_shows_it(capsys):
    boards.install()
    assert main.main(["doctor", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert {row["subject"]: row["well"] for row in state["board"]} == {"PYNQ": True, "devices": True}
    assert state["auto"].startswith("fpga (fpga works)")
