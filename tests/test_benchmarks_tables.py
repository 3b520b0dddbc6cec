"""The README's tables are made from the committed results, never typed."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.accelerator import utilisation

ROOT = Path(__file__).parent.parent
ROW = {
    "model": "m",
    "board": "b",
    "weights": 250_000,
    "slots": 8,
    "commit": "abc",
    "date": "2026-01-02",
    "clock_mhz": 200,
    "predicted": {"single": 1000, "busy": 200},
    "simulated": {"single": 1010.4, "busy": 201.2, "first_token": 9000, "position": 64, "prompt": 32},
    "utilisation": 0.756,
    "resources": {
        name: {"estimated": 1, "counted": 50, "board": there}
        for name, there in zip(("lut", "ff", "dsp", "bram18", "uram"), (100, 100, 100, 100, 0), strict=True)
    },
}


def test_a_row_has_simulated_and_derived_cycles_and_counted_resources():
    row = tables.accelerators([ROW]).splitlines()[2]
    assert row.startswith("| m, b | 8 | 1,010 (1,000) | 201 (200) | 9,000 | 76% |")
    assert row.endswith("| 50 (50%) | 50 (50%) | 50 (50%) | 50 (50%) | - |")


def test_what_the_cycles_mean_at_the_assumed_clock():
    text = tables.accelerators([ROW])
    assert "Projected at the assumed clock (200 MHz):" in text
    assert text.splitlines()[-1] == "| m, b | 5.1 us | 197,941 | 994,036 | 249 G |"


def test_the_service_has_a_row_a_figure():
    part = {
        "date": "2026-01-02",
        "commit": "abc",
        "machine": "x86_64",
        "rows": [{"model": "m", "what": "cached answer, p99", "value": 0.43, "unit": "ms"}],
    }
    lines = tables.serving({"cached": part}).splitlines()
    assert lines[2] == "| cached | cached answer, p99 | 0.43 ms |"
    assert lines[-1].endswith(
        "Measured with m; clients and servers on one machine with 2 cores: x86_64. commit abc, 2026-01-02."
    )


def test_only_what_is_between_the_marks_changes():
    begin = tables.BEGIN.format("accelerators")
    text = f"before\n{begin}\nstale\n{tables.END}\nafter\n"
    made = tables.updated(text, "accelerators", [ROW])
    assert made.startswith(f"before\n{begin}\n| ")
    assert made.endswith(f"\n{tables.END}\nafter\n")
    assert "stale" not in made
    assert tables.updated(made, "accelerators", [ROW]) == made


def test_a_placed_block_has_its_clock_and_its_cells():
    placed = {
        "node": "qkv",
        "model": "m",
        "mhz": 81.234,
        "commit": "abc",
        "date": "2026-01-02",
        "used": {"TRELLIS_COMB": [1105, 83640], "DP16KD": [1, 208]},
    }
    lines = tables.clocks([placed, {**placed, "node": "decoder"}]).splitlines()
    assert lines[2] == "| qkv of m | 81.2 | 1,105 | 0 | 0 | 1 |"
    assert lines[3].startswith("| small complete decoder, as a chip | 81.2 |")
    assert lines[-1].endswith("commit abc, 2026-01-02.")


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_readme_is_up_to_date(name):
    readme = (ROOT / "README.md").read_text()
    rows = json.loads((ROOT / tables.TABLES[name][0]).read_text())
    assert re.search(f"{tables.BEGIN.format(name)}.*{tables.END}", readme, re.DOTALL)
    assert tables.updated(readme, name, rows) == readme


def test_utilisation_is_work_over_what_the_multipliers_could():
    work = {"vectors": 2, "macs": 100, "macs_per_key": 0, "macs_per_cycle": 4}
    keys = {"vectors": 1, "macs": 0, "macs_per_key": 10, "macs_per_cycle": 6}
    nodes = [{"work": work}, {"work": keys}, {"work": None}]
    assert utilisation(nodes, 9, 50.0) == pytest.approx((200 + 100) / (10 * 50))


def test_what_was_measured_is_a_row_with_a_column_for_each_model():
    rows = [
        {"what": what, "value": value, "unit": unit, "tag": tag, "model": model}
        for model, factor in (("a", 1), ("b", 2))
        for what, value, unit, tag in (
            ("cpu, one stream", 1234.5 * factor, "tokens/s", "measured"),
            ("cpu over peer", 0.512 * factor, "ratio", "measured"),
            ("accelerator", 3000 * factor, "cycles/token", "simulated"),
        )
    ]
    result = {"results": rows, "machine": "m", "commit": "c", "date": "d"}
    lines = tables.software(result).splitlines()
    assert lines[0] == "|  | a | b |"
    assert lines[2:4] == [
        "| cpu, one stream | 1,234 tokens/s | 2,469 tokens/s |",
        "| cpu over peer | 0.51 ratio | 1.02 ratio |",
    ]
    assert lines[-1].endswith("turn by turn: m; commit c, d.")
