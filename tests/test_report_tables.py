"""The page's tables."""

from __future__ import annotations

import studies

from edgellm.report import roofline, tables
from edgellm.report.study import Study
from edgellm.report.tables import Pace
from edgellm.sim.recording import Judgement, Recording


def test_paces_of_a_design_that_was_not_simulated() -> None:
    found = tables.paces(Study(studies.report(), Recording()))
    assert [(pace.expected, pace.simulated, pace.rate) for pace in found] == [
        (900, None, 1e8 / 900),
        (1300, None, 1e8 / 1300),
        (250, None, 4e5),
    ]


def test_paces_of_simulations() -> None:
    assert tables.paces(studies.study())[3:] == [
        Pace("one stream, 3 tokens behind a prompt of 5", None, 800.0, 1e8 / 800),
        Pace("2 of 4 slots busy, 4 tokens of all of them", None, 250.0, 4e5),
    ]


def test_rows_of_the_nodes() -> None:
    known = studies.study(counted=True)
    embed, qkv, attention, head = tables.nodes(known, roofline.of(known))
    assert (embed.on_the_way, embed.sending, embed.peak, embed.counted) == (None, 0.1, None, {})
    assert (qkv.folding, qkv.on_the_way, qkv.sending, qkv.peak) == ("PE 5 SIMD 2", 118 + 119, 0.7, 10)
    assert attention.on_the_way == 31 + 31
    assert head.counted["lut"] == 101
    assert sum(node.on_the_way or 0 for node in (embed, qkv, attention, head)) == 599 - 131


def test_rows_without_any_simulation() -> None:
    row = tables.nodes(Study(studies.report(), Recording()), None)[1]
    assert (row.on_the_way, row.sending, row.peak) == (None, None, None)


def test_verdicts() -> None:
    def verdict(judged: Judgement | None) -> str:
        return tables.verdict(Study(studies.report(), Recording(judgement=judged)))

    assert verdict(None) == "was not compared with the golden model yet"
    assert verdict(studies.JUDGED) == "equals the golden model in all of the 7,000 values compared"
    assert (
        verdict(Judgement("p", False, message="node qkv: 3")) == "differs from the golden model: node qkv: 3"
    )
