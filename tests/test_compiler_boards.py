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


def write(folder: Path, **changes: str | None) -> Path:
    path = folder / "toy.toml"
    table = {**GOOD, **changes}
    path.write_text("".join(f"{key} = {value}\n" for key, value in table.items() if value is not None))
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
