"""Board files: the shipped ones are sound, and a wrong one is refused with file, field and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgellm.compiler import boards
from edgellm.errors import BoardUnknown, ConfigError

GOOD = {
    "name": '"toy"',
    "title": '"Toy"',
    "part": '"xczu3eg-sfvc784-2-e"',
    "dsp": '"DSP48E2"',
    "lut": "1000",
    "ff": "2000",
    "bram18": "10",
    "uram": "0",
    "dsps": "20",
    "clock_mhz": "100",
}


PROCESSORS = {
    "kind": '"zynq_ultra_ps_e"',
    "board_part": '"toys.com:toy:part0:1.0"',
    "registers_port": '"M_AXI_HPM0_FPD"',
    "registers_address": "0xA000_0000",
    "memory_port": '"S_AXI_HP0_FPD"',
    "memory_bytes": "0x8000_0000",
    "clock": '"pl_clk0"',
    "clock_mhz": "100",
    "reset": '"pl_resetn0"',
    "interrupt": '"pl_ps_irq0"',
}


def rows(table: dict[str, str | None]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in table.items() if value is not None)


def write(folder: Path, **changes: str | None) -> Path:
    path = folder / "toy.toml"
    path.write_text(rows({**GOOD, **changes}))
    return path


def write_ps(folder: Path, **changes: str | None) -> Path:
    path = write(folder)
    path.write_text(f"{path.read_text()}[ps]\n{rows({**PROCESSORS, **changes})}")
    return path


def test_shipped_boards() -> None:
    known = boards.names()
    assert known == ["aup-zu3", "kv260", "pynq-z2", "rfsoc4x2", "ulx3s-85f", "zcu104"]
    assert [boards.load(name).name for name in known] == known
    aup = boards.load("aup-zu3")
    assert (aup.lut, aup.ff, aup.bram18, aup.uram, aup.dsps) == (70560, 141120, 432, 0, 360)
    assert aup.clock_ns == 5.0


def test_good_file(tmp_path: Path) -> None:
    board = boards.read(write(tmp_path))
    assert (board.name, board.lut, board.uram, board.clock_ns) == ("toy", 1000, 0, 10.0)


def test_boards_with_processors() -> None:
    found = {name: boards.load(name).ps for name in boards.names()}
    assert {name: ps.kind for name, ps in found.items() if ps} == {
        "aup-zu3": "zynq_ultra_ps_e",
        "kv260": "zynq_ultra_ps_e",
        "pynq-z2": "processing_system7",
        "rfsoc4x2": "zynq_ultra_ps_e",
        "zcu104": "zynq_ultra_ps_e",
    }
    kv260 = found["kv260"]
    assert kv260
    assert (kv260.board_part, kv260.registers_address) == ("xilinx.com:kv260_som:part0:1.4", 0xA000_0000)
    assert kv260.ip.memory_ports[kv260.memory_port].segment == "SAXIGP2/HP0_DDR_LOW"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clock": None}, "toy.toml: field 'clock' is missing"),
        ({"colour": '"green"'}, "toy.toml: unknown field 'colour'; fields are kind, board_part, "),
        (
            {"kind": '"versal"'},
            "toy.toml: kind is 'versal', must be one of zynq_ultra_ps_e, processing_system7",
        ),
        (
            {"memory_port": '"S_AXI_HP0"'},
            "toy.toml: memory_port is 'S_AXI_HP0', must be one of S_AXI_HPC0_FPD, ",
        ),
        ({"clock": '"FCLK_CLK0"'}, "toy.toml: clock is 'FCLK_CLK0', must be one of pl_clk0, pl_clk1, "),
        ({"reset": '"rst"'}, "toy.toml: reset is 'rst', must be one of pl_resetn0"),
        ({"memory_bytes": "3"}, "toy.toml: memory_bytes is 0x3, must be a power of two"),
        (
            {"registers_address": "0x43C0_0000"},
            "toy.toml: registers_address is 0x43c00000, must be a multiple of 0x20000 from 0xa0000000 to 0xafffffff, "
            "which is behind M_AXI_HPM0_FPD",
        ),
        (
            {"registers_address": "0xA000_1000"},
            "toy.toml: registers_address is 0xa0001000, must be a multiple of 0x20000 ",
        ),
    ],
)
def test_wrong_processing_system(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        boards.read(write_ps(tmp_path, **changes))
    assert str(error.value).startswith(message)


def test_processors_are_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"toy\.toml: ps is 7, must be a table"):
        boards.read(write(tmp_path, ps="7"))


def test_unknown_board() -> None:
    message = "no board 'zcu102': known boards are aup-zu3, kv260, pynq-z2, rfsoc4x2, ulx3s-85f, zcu104"
    with pytest.raises(BoardUnknown) as error:
        boards.load("zcu102")
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["../aup-zu3", "", "aup-zu3.toml"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(BoardUnknown):
        boards.load(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lut": None}, "toy.toml: field 'lut' is missing"),
        ({"lut": "0"}, "toy.toml: lut is 0, must be a whole number of at least 1"),
        ({"lut": "true"}, "toy.toml: lut is True, must be a whole number of at least 1"),
        ({"dsps": '"many"'}, "toy.toml: dsps is 'many', must be a whole number of at least 1"),
        ({"uram": "-1"}, "toy.toml: uram is -1, must be a whole number of at least 0"),
        ({"part": '""'}, "toy.toml: part is '', must be a text"),
        ({"dsp": '"DSP58"'}, "toy.toml: dsp is 'DSP58', must be one of DSP48E1, DSP48E2, MULT18"),
        ({"name": '"toys"'}, "toy.toml: name is 'toys', must be the file's name 'toy'"),
    ],
)
def test_wrong_field(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        boards.read(write(tmp_path, **changes))
    assert str(error.value) == message


def test_field_of_another_world(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown field 'colour'; fields are name, title, part"):
        boards.read(write(tmp_path, colour='"green"'))


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text("name = ")
    with pytest.raises(ConfigError, match=r"toy\.toml: not a readable TOML file"):
        boards.read(path)
