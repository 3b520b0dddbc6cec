"""A design counted node by node, and what of that reaches the report."""

import json

import pytest
import test_sim_design
from test_compiler_report import REPORT

from edgellm.compiler import report
from edgellm.errors import CompileError
from edgellm.sim import design
from edgellm.synthesis import count, yosys

CELLS = [("a_block", "a"), ("first_fifo", "FIFOs"), ("second_fifo", "FIFOs")]
COSTS = {"a_block": 7, "first_fifo": 20, "second_fifo": 300, "top": 5000}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A design of three instances, whose synthesis is looked up here."""
    cells = [{"module": module, "row": row} for module, row in CELLS]
    test_sim_design.write(tmp_path, {**test_sim_design.GOOD, "cells": cells})
    rows = [{**REPORT["nodes"][0], "node": name} for name in ("a", "FIFOs", "alone")]
    report.save(tmp_path, {**REPORT, "nodes": rows})
    sources = [f"{module}.sv" for module in COSTS]
    for source in sources:
        (tmp_path / source).write_text(f"module {source.removesuffix('.sv')}; endmodule")
    (tmp_path / count.SYNTHESIS).write_text("\n".join(sources))

    def counted(library, module, kind):
        assert library.closure(module) == [f"{module}.sv"]
        return {"lut": COSTS[module], "ff": len(kind), "dsp": 0, "bram18": 0, "uram": 0}

    monkeypatch.setattr(yosys, "count", counted)
    return tmp_path


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
