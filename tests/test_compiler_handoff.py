"""The number that names a design, the map of its registers, and the files that a host gets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgellm.compiler import boards, handoff, hwh
from edgellm.compiler.shell import FILE, Shell, verilog
from edgellm.registers import Register, Ring

ABOUT = Shell(512, 2, 8, 0x12345678)


def files_in(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def test_the_number_follows_content_names_and_model(tmp_path: Path) -> None:
    folder = files_in(tmp_path, a="one", b="two")
    number = handoff.build_of(folder, ["a", "b"], "m")
    assert number == handoff.build_of(folder, ["b", "a"], "m")
    assert 0 < number < 1 << 32
    assert number != handoff.build_of(folder, ["a", "b"], "n")
    assert number != handoff.build_of(folder, ["a"], "m")
    files_in(tmp_path, a="two", b="one")
    assert number != handoff.build_of(folder, ["a", "b"], "m")


def test_the_number_is_never_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Zero:
        def update(self, data: bytes) -> None: ...

        def digest(self) -> bytes:
            return bytes(32)

    monkeypatch.setattr(handoff.hashlib, "sha256", lambda data=b"": Zero())
    assert handoff.build_of(tmp_path, [], "m") == 1


def test_registers_as_json() -> None:
    found = handoff.register_map(ABOUT)
    assert json.loads(json.dumps(found)) == found
    assert (found["build"], found["slots"], found["vocab"]) == (0x12345678, 8, 512)
    by_name = {field["name"]: field for field in found["registers"]}
    assert by_name["SEEN"] == {"name": "SEEN", "offset": 0x18, "access": "read-write"}
    assert by_name["EVENTS_DEVICE_COUNT"]["offset"] == Register.EVENTS + Ring.DEVICE_COUNT
    assert by_name["EVENTS_DEVICE_COUNT"]["access"] == "read-only"
    assert found["control"] == {"RUN": 1, "RESET": 2, "INTERRUPT": 4}


def test_the_map_is_that_of_the_rtl() -> None:
    """Every register of the map has a word address in host_registers.sv, and none there lacks in the map."""
    from edgellm.compiler import rtl_library

    text = rtl_library.path("host_registers").read_text()
    words = {int(word, 16) * 4 for word in re.findall(r"k\w+ = 6'h([0-9A-F]+)", text)}
    assert words == {field["offset"] for field in handoff.register_map(ABOUT)["registers"]}


def test_files_for_a_host(tmp_path: Path) -> None:
    handoff.write(tmp_path, "top", ABOUT, boards.load("zcu104"))
    assert {p.name for p in tmp_path.iterdir()} == {FILE, handoff.REGISTERS, hwh.FILE}
    assert (tmp_path / FILE).read_text() == verilog(ABOUT, "top")
    assert 'NAME="BUILD" VALUE="0x12345678"' in (tmp_path / hwh.FILE).read_text()


def test_no_hand_off_without_processors(tmp_path: Path) -> None:
    handoff.write(tmp_path, "top", ABOUT, boards.load("ulx3s-85f"))
    assert {p.name for p in tmp_path.iterdir()} == {FILE, handoff.REGISTERS}


def test_attributes_say_which_ports_belong_together() -> None:
    text = verilog(ABOUT, "top")
    assert "parameter [31:0] BUILD = 32'h12345678" in text
    ports = re.findall(
        r'X_INTERFACE_INFO = "(\S+) (\S+) (\S+)" \*\)\s*(?:input|output) wire (?:\[[^\]]*\] )?(\w+)', text
    )
    assert len(ports) == len(re.findall(r"^  (?:\(.*\)\s*)?(?:input|output) wire", text, re.MULTILINE))
    for vlnv, bus, role, port in ports:
        assert port == (f"{bus}_{role.lower()}" if vlnv.endswith("aximm:1.0") else bus)
    parameters = dict(re.findall(r'X_INTERFACE_PARAMETER = "XIL_INTERFACENAME (\w+), ([^"]*)"', text))
    assert "READ_WRITE_MODE READ_ONLY" in parameters["m_commands"]
    assert parameters["ap_clk"].startswith("ASSOCIATED_BUSIF s_axi:m_commands:m_events:m_logits")
    assert list(parameters) == [
        *("ap_clk", "ap_rst_n", "s_axi", "m_commands", "m_events", "m_logits", "interrupt")
    ]
