"""The reports on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgellm.evaluation.measure import SetReport

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

ABSENT = "-"
Scores = Mapping[str, Any]


def overview(reports: Mapping[str, SetReport], title: str) -> Table:
    """One row a set; under every share its 95 % interval, under F1 precision and recall."""
    table = _table(title)
    table.add_column("set")
    for name in ("lines", "loss", "bits/byte", "intent %", "exact %", "reply %", "slot F1"):
        table.add_column(name, justify="right")
    for report in reports.values():
        scores = report.summary()
        table.add_row(
            _plain(report.chosen.label),
            f"{scores['lines']:,}",
            _number(scores.get("loss"), 4),
            _number(scores.get("bits_per_byte"), 4),
            *(_share(scores.get(name)) for name in ("intent", "exact", "reply")),
            _f1(scores.get("slots", {})),
        )
    return table


def by_intent(reports: Mapping[str, SetReport]) -> Table | None:
    """Exact match of every intent in every set of commands, `percent of lines`; None when no set has intents."""
    columns = {
        report.chosen.label: report.to_dict()["intents"]
        for report in reports.values()
        if report.chosen.commands
    }
    if not columns:
        return None
    table = _table("exact match per intent: percent (lines)")
    table.add_column("expected intent")
    for label in columns:
        table.add_column(_plain(label), justify="right")
    for intent in sorted({name for column in columns.values() for name in column}):
        table.add_row(_plain(intent), *(_cell(column.get(intent)) for column in columns.values()))
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)


def _plain(text: str) -> Text:
    """Text of a user's file, in which brackets are no markup."""
    from rich.text import Text

    return Text(text)


def _number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def _share(value: Scores | None) -> str:
    if value is None:
        return ABSENT
    return f"{value['percent']:.1f}\n[dim]{value['low']:.1f}-{value['high']:.1f}[/dim]"


def _f1(slots: Scores) -> str:
    if "f1" not in slots:
        return ABSENT
    both = (f"{slots[name]['percent']:.1f}" if name in slots else ABSENT for name in ("precision", "recall"))
    return f"{slots['f1']:.1f}\n[dim]P {' R '.join(both)}[/dim]"


def _cell(scores: Scores | None) -> str:
    if scores is None:
        return ABSENT
    percent = scores["exact"]["percent"]
    colour = "green" if percent >= 95 else "yellow" if percent >= 80 else "red"
    return f"[{colour}]{percent:.0f}[/{colour}] [dim]({scores['lines']})[/dim]"
