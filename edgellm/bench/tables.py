"""A run and a comparison as headers and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.bench.compare import Comparison
from edgellm.bench.results import Result, Row

Cells = Sequence[Sequence[object]]
RUN = (
    "back end",
    "batch",
    "prompt",
    "tokens/s",
    "TTFT us p50",
    "p90",
    "p99",
    "ITL us p50",
    "p90 ",
    "p99 ",
    "host %",
    "transfer %",
    "device %",
    "tag",
)
COMPARISON = ("back end", "batch", "prompt", "tokens/s", "TTFT p50", "ITL p50", "verdict")


def run(result: Result) -> Cells:
    """One line a row of the result, under RUN."""
    return [_line(row) for row in result.rows]


def _line(row: Row) -> Sequence[object]:
    latencies = [row.ttft.p50, row.ttft.p90, row.ttft.p99, row.itl.p50, row.itl.p90, row.itl.p99]
    shares = [_percent(share) for share in (row.host, row.transfer, row.device)]
    numbers = [_short(value) for value in latencies]
    return [row.backend, row.case.batch, row.case.prompt, round(row.speed), *numbers, *shares, row.tag]


def _short(value: float) -> float | int:
    return round(value, 1) if value < 100 else round(value)


def _percent(share: float | None) -> object:
    return "-" if share is None else round(100 * share, 1)


def comparison(found: Comparison) -> Cells:
    """One line a change, new over old, under COMPARISON."""
    return [
        [
            change.backend,
            change.case.batch,
            change.case.prompt,
            *(f"x {ratio:.2f}" for ratio in (change.tokens_per_second, change.ttft, change.itl)),
            change.verdict,
        ]
        for change in found.changes
    ]
