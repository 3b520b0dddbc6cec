"""Tables of the README, made from the committed results: `python -m benchmarks.tables` writes them, a test compares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import accelerator, ecp5, run, service
from edgellm import files
from edgellm.compiler.columns import TITLES

README = Path("README.md")
BEGIN, END = "<!-- {}: made by benchmarks.tables -->", "<!-- end -->"
PROJECTED = (
    "model and board",
    "a token",
    "tokens/s, one stream",
    "tokens/s, all slots",
    "weights/s, all slots",
)
CELLS = {"TRELLIS_COMB": "LUT4", "TRELLIS_FF": "FF", "MULT18X18D": "multipliers", "DP16KD": "block RAMs"}
ROWS = "model and board", "slots", "one stream", "all slots busy", "first token", "multipliers used"


def accelerators(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown of the accelerators' results."""
    head = [*ROWS, *(TITLES[name] for name in TITLES)]
    clocks = sorted({row["clock_mhz"] for row in rows})
    assumed = f"Projected at the assumed clock ({', '.join(f'{clock} MHz' for clock in clocks)}):"
    tables = _table(head, map(_row, rows)), _note(rows), assumed, _table(PROJECTED, map(_projected, rows))
    return "\n\n".join(tables) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _projected(row: dict[str, Any]) -> list[str]:
    clock = row["clock_mhz"] * 1e6
    single, busy = (clock / row["simulated"][kind] for kind in ("single", "busy"))
    latency = f"{1e6 / single:.1f} us"
    return [_name(row), latency, f"{single:,.0f}", f"{busy:,.0f}", f"{busy * row['weights'] / 1e9:,.0f} G"]


def _name(row: dict[str, Any]) -> str:
    return f"{row['model']}, {row['board']}"


def _row(row: dict[str, Any]) -> list[str]:
    simulated, predicted = row["simulated"], row["predicted"]
    cycles = [f"{simulated[kind]:,.0f} ({predicted[kind]:,})" for kind in ("single", "busy")]
    resources = [_share(row["resources"][name]) for name in TITLES]
    first, used = f"{simulated['first_token']:,}", f"{row['utilisation']:.0%}"
    return [_name(row), str(row["slots"]), *cycles, first, used, *resources]


def _share(resource: dict[str, int]) -> str:
    if not resource["board"]:
        return "-"
    return f"{resource['counted']:,} ({resource['counted'] / resource['board']:.0%})"


def _note(rows: Sequence[dict[str, Any]]) -> str:
    one = rows[0]["simulated"]
    told = (
        f"Cycles a token at position {one['position']}, simulated (in brackets: derived by the folding search)",
        f"cycles to the first token of a prompt of {one['prompt']}, simulated",
        "share of the multipliers' cycles with all slots busy, simulated",
        "resources counted by Yosys before place and route, and their share of the board",
    )
    return f"{'; '.join(told)}. {_runs(rows)}."


def _runs(rows: Sequence[dict[str, Any]]) -> str:
    return "; ".join(sorted({f"commit {row['commit']}, {row['date']}" for row in rows}))


def clocks(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown of what was placed and routed for the ECP5."""
    head = ["placed and routed", "MHz", *CELLS.values()]
    lines = [[_placed(row), f"{row['mhz']:.1f}", *(_used(row, cell) for cell in CELLS)] for row in rows]
    told = "Derived: nextpnr's static timing of an LFE5U-85F, speed grade 6; cells used"
    return f"{_table(head, lines)}\n\n{told}. {_runs(rows)}.\n"


def _placed(row: dict[str, Any]) -> str:
    return (
        f"{row['node']} of {row['model']}"
        if row["node"] != ecp5.DECODER
        else "small complete decoder, as a chip"
    )


def _used(row: dict[str, Any], cell: str) -> str:
    return f"{row['used'].get(cell, [0])[0]:,}"


def software(result: dict[str, Any]) -> str:
    """Markdown of what was measured of this machine's back ends: a row a quantity, a column a model."""
    rows = [row for row in result["results"] if row["tag"] == "measured"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["what"], row["model"]): f"{_rounded(row['value'])} {row['unit']}" for row in rows}
    lines = [
        [what, *(found[what, model] for model in models)] for what in dict.fromkeys(r["what"] for r in rows)
    ]
    told = f"Measured on one thread of a machine with 2 cores that had other work too, medians, turn by turn: {result['machine']}"
    note = f"{told}; commit {result['commit']}, {result['date']}."
    return f"{_table(['', *models], lines)}\n\n{note}\n"


def serving(result: dict[str, Any]) -> str:
    """Markdown of what was measured of the service, part by part."""
    lines = [
        (name, row["what"], f"{_rounded(row['value'])} {row['unit']}")
        for name, part in result.items()
        for row in part["rows"]
    ]
    models = sorted({row["model"] for part in result.values() for row in part["rows"]})
    machine = next(iter(result.values()))["machine"]
    told = f"Measured with {', '.join(models)}; clients and servers on one machine with 2 cores: {machine}"
    return f"{_table(['part', '', ''], lines)}\n\n{told}. {_runs(list(result.values()))}.\n"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


TABLES = {
    "software": (run.RESULTS, software),
    "accelerators": (accelerator.RESULTS, accelerators),
    "service": (service.RESULTS, serving),
    "clocks": (ecp5.RESULTS, clocks),
}


def updated(readme: str, name: str, rows: Any) -> str:
    """The README with one of its tables made anew."""
    begin, made = BEGIN.format(name), TABLES[name][1](rows)
    pattern = f"{re.escape(begin)}.*?{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{begin}\n{made}{END}", readme, flags=re.DOTALL)


def main() -> None:
    """Write the README's tables."""
    text = README.read_text(encoding="utf-8")
    for name, (results, _) in TABLES.items():
        text = updated(text, name, json.loads(results.read_text(encoding="utf-8")))
    files.write_text(README, text)


if __name__ == "__main__":
    main()
