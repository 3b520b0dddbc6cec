"""Tables of the README, made from the committed results: `python -m benchmarks.tables` writes them, a test compares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accelerator import RESULTS
from edgellm import files
from edgellm.compiler.columns import TITLES

README = Path("README.md")
BEGIN, END = "<!-- accelerators: made by benchmarks.tables -->", "<!-- end -->"
PROJECTED = (
    "model and board",
    "a token",
    "tokens/s, one stream",
    "tokens/s, all slots",
    "weights/s, all slots",
)
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
    runs = sorted({f"commit {row['commit']}, {row['date']}" for row in rows})
    told = (
        f"Cycles a token at position {one['position']}, simulated (in brackets: derived by the folding search)",
        f"cycles to the first token of a prompt of {one['prompt']}, simulated",
        "share of the multipliers' cycles with all slots busy, simulated",
        "resources counted by Yosys before place and route, and their share of the board",
    )
    return f"{'; '.join(told)}. {'; '.join(runs)}."


def updated(readme: str, rows: Sequence[dict[str, Any]]) -> str:
    """The README with its table made anew."""
    table = f"{BEGIN}\n{accelerators(rows)}{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, readme, flags=re.DOTALL)


def main() -> None:
    """Write the README's tables."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    files.write_text(README, updated(README.read_text(encoding="utf-8"), rows))


if __name__ == "__main__":
    main()
