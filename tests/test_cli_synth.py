"""`edgellm synth` on the command line."""

import counted_design
import pytest

from edgellm.cli import build
from edgellm.cli.main import main


def failure(capsys, *arguments):
    """Message of a command that exits with 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: name)
    return counted_design.make(tmp_path, monkeypatch)


def test_the_report_is_printed_with_the_counts(capsys, folder):
    assert main(["synth", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out == (folder / "report.txt").read_text()
    assert "counted by Yosys" in out


def test_another_family_is_a_table_of_its_own(capsys, folder):
    assert main(["synth", str(folder), "--family", "xc7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "lut", "ff", "dsp", "bram18", "uram"]
    assert lines[2].split() == ["a", "7", "3", "0", "0", "0"]


def test_the_whole_is_one_line(capsys, folder):
    assert main(["synth", str(folder), "--whole"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["5000", "4", "0", "0", "0"]


def test_yosys_is_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert failure(capsys, "synth", str(tmp_path)) == (
        "edgellm: error: pyosys is not installed, this command needs it: pip install 'edgellm[synth]'\n"
    )


def test_a_folder_that_is_no_design_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: name)
    assert "so it is not a design: run `edgellm compile` to make one" in failure(
        capsys, "synth", str(tmp_path)
    )
