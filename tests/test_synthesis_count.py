"""A design counted node by node, and what of that reaches the report."""

import json

import counted_design
import pytest

from edgellm.compiler import report
from edgellm.errors import CompileError
from edgellm.sim import design
from edgellm.synthesis import count


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return counted_design.make(tmp_path, monkeypatch)


def test_instances_are_added_up_by_row_and_written(folder):
    found = count.nodes(folder)
    assert {node: numbers["lut"] for node, numbers in found.items()} == {"a": 7, "FIFOs": 320}
    rows = {row["node"]: row for row in report.load(folder)["nodes"]}
    assert rows["FIFOs"]["counted"] == {"source": "Yosys", **found["FIFOs"]}
    assert "counted" not in rows["alone"]
    text = (folder / "report.txt").read_text()
    assert "estimated and counted by Yosys" in text
    assert "not counted: alone" in text


def test_another_family_is_not_the_boards_and_not_written(folder):
    before = (folder / "report.json").read_text()
    assert count.nodes(folder, "xc7")["a"]["ff"] == 3
    assert (folder / "report.json").read_text() == before


def test_the_whole_is_the_top_module(folder):
    assert count.whole(folder)["lut"] == 5000


def test_a_part_of_no_known_family_is_refused(folder):
    about = json.loads((folder / design.FILE).read_text())
    (folder / design.FILE).write_text(json.dumps({**about, "part": "LFE5U-85F"}))
    with pytest.raises(CompileError, match="no Yosys family for part LFE5U-85F"):
        count.nodes(folder)
