"""Reports: measured cycles go in, the table stays readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgellm.compiler import report
from edgellm.errors import CompileError

COUNTS = {"lut": 100, "ff": 200, "dsp": 8, "bram18": 3, "uram": 0}
ROW = {"op": "MVAU", "folding": {"PE": 4, "SIMD": 2}, "expected_cycles": 32, "measured_cycles": None}
REPORT = {
    "format": 1,
    "model": "toy",
    "slots": 4,
    "nodes": [
        {"node": "qkv_acc", **ROW, **COUNTS, "source": "formula"},
        {"node": "down_acc", **ROW, **COUNTS, "source": "Yosys fit"},
    ],
    "totals": {name: 2 * count for name, count in COUNTS.items()},
    "board": {
        "title": "Toy",
        "part": "xc",
        "clock_mhz": 100,
        "lut": 1000,
        "ff": 1000,
        "dsp": 32,
        "bram18": 6,
        "uram": 0,
    },
    "macs": {"first_position": 278528, "last_position": 442368},
    "cycles": {"first_position": 2200, "last_position": 2700, "saturated": 480},
}


def test_table(tmp_path: Path) -> None:
    report.save(tmp_path, REPORT)
    lines = (tmp_path / "report.txt").read_text().splitlines()
    assert lines[0] == "toy on Toy (xc), 4 slots"
    assert "2,200 cycles a token at position 0" in lines[1]
    assert lines[2] == "work: 278,528 multiplications a token at position 0, 442,368 at the last"
    assert lines[5].split()[:5] == ["node", "op", "folding", "expected", "measured"]
    assert lines[6].split() == [
        *("qkv_acc", "MVAU", "PE", "4", "SIMD", "2", "32"),
        *("100", "200", "8", "3", "0", "formula"),
    ]
    assert lines[-1].split() == ["share", "20%", "40%", "50%", "100%", "-"]


def test_measured_cycles(tmp_path: Path) -> None:
    report.save(tmp_path, REPORT)
    report.write(tmp_path, {"qkv_acc": 35, "not a node": 1})
    report.write(tmp_path, None)
    rows = json.loads((tmp_path / "report.json").read_text())["nodes"]
    assert [row["measured_cycles"] for row in rows] == [35, None]
    assert (tmp_path / "report.txt").read_text().splitlines()[6].split()[6:8] == ["32", "35"]


def test_a_design_of_an_earlier_version_has_no_work_counted(tmp_path: Path) -> None:
    report.save(tmp_path, {name: value for name, value in REPORT.items() if name != "macs"})
    assert "work:" not in (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("text", [None, "", "{"])
def test_no_report(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(
        CompileError, match=r"report\.json: not a readable report .*: compile the model again"
    ):
        report.write(tmp_path)


def test_counts_of_a_second_source_stand_beside_the_estimates(tmp_path: Path) -> None:
    report.save(tmp_path, REPORT)
    report.count(tmp_path, "Yosys", {"down_acc": {"lut": 90, "dsp": 7}})
    first, second = report.load(tmp_path)["nodes"]
    assert "counted" not in first
    assert second["counted"] == {"source": "Yosys", "lut": 90, "ff": 0, "dsp": 7, "bram18": 0, "uram": 0}
    assert second["lut"] == 100


def test_counts_of_a_node_that_is_not_there(tmp_path: Path) -> None:
    report.save(tmp_path, REPORT)
    with pytest.raises(CompileError, match=r"no node 'up_acc' to count: nodes are qkv_acc, down_acc$"):
        report.count(tmp_path, "Yosys", {"up_acc": {}})
