"""Tables of plain text, and the resources that stand in their columns."""

from __future__ import annotations

from collections.abc import Container, Sequence

TITLES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "uram": "URAM"}


def aligned(rows: Sequence[Sequence[str]], numbers: Container[int]) -> list[str]:
    """Lines of padded columns; those in `numbers` to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def share(used: int, available: int) -> str:
    """In percent; of nothing, a dash."""
    return f"{used / available:.0%}" if available else "-"
