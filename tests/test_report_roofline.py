"""Rooflines of designs whose numbers fit on a page of paper (tests/studies.py)."""

from __future__ import annotations

import dataclasses

import pytest
import studies

from edgellm.report import roofline
from edgellm.report.roofline import Roof, Roofline
from edgellm.report.study import Study
from edgellm.sim.recording import Recording


def made(*sections: str) -> Roofline:
    found = roofline.of(studies.study(*sections))
    assert found is not None
    return found


def test_roofs() -> None:
    roof = Roof("", peak=10, bandwidth=4)
    assert (roof.at(2), roof.at(2.5), roof.at(100)) == (8, 10, 10)


def test_peaks_follow_from_the_folding() -> None:
    design = made().design
    assert (design.peak, design.bandwidth) == (10 + 16 + 20, (40 + 64 + 80) / 8)


def test_the_board_has_more_multipliers_where_products_share_one() -> None:
    board = made().board
    assert board.peak == 20 * 3  # three products of 4-bit weights in a DSP48E2
    assert board.bandwidth == 24 * 36 / 8


def test_ternary_products_are_made_of_luts() -> None:
    report = studies.report()
    report["nodes"][1]["work"] = {**studies.QKV, "bits_per_cycle": 20}
    found = roofline.of(Study(report, Recording()))
    assert found is not None
    assert found.board.peak == 20 * 3 + 54  # 1,000 LUTs of 18.5 each; the head still has 4-bit weights
    assert found.board.label.endswith(
        "20 multiplier blocks of 3 products, block memories, LUTs for 54 ternary products"
    )


def test_a_run_with_slots_busy_counts_what_left_the_nodes() -> None:
    point = made().points[-1]
    macs = 1000 * 8 + 8 * 80 + 3000 * 4
    assert (point.label, point.tag, point.rate) == ("2 slots busy", "simulated", macs / 1000)
    assert point.intensity == pytest.approx(macs / ((8000 * 4 + 640 * 4 + 12000 * 4) / 8))


def test_a_single_stream_sees_the_keys_of_its_tokens() -> None:
    expected, one = made("one_prompt").points
    keys = 5 + 1.5
    assert one.rate == pytest.approx((2 * 1000 + 2 * 8 * keys + 3000) / 800)
    assert (expected.tag, expected.rate) == ("expected", (2000 + 16 + 3000) / 250)


def test_work_and_use_of_the_nodes() -> None:
    qkv, attention, head = made().nodes
    assert (qkv.macs, qkv.cycles, qkv.used) == (2000, 200, 0.8)
    assert (attention.macs, attention.cycles, attention.used) == (2 * 8 * 10, 10, 640 / 16000)
    assert (head.cycles, head.used) == (150, 0.6)


def test_the_use_of_all_multipliers() -> None:
    assert made().used == pytest.approx((8000 + 640 + 12000) / (46 * 1000))
    assert made("one_prompt").used is None


def test_slots_that_are_too_few_are_the_bound() -> None:
    bound = made().bound
    assert (bound.cycles, bound.why) == (
        400,
        "each of 2 streams waits 800 cycles for its own token before it goes on",
    )


def test_the_slowest_multipliers_are_the_bound() -> None:
    bound = made("full_pipeline").bound
    assert (bound.cycles, bound.why) == (200, "the multipliers of qkv_acc need as many for a token")
    assert made("one_prompt").bound.cycles == 200  # four slots would take 800 / 4: not more


def test_a_time_too_short_for_a_single_vector_is_no_point() -> None:
    full = dataclasses.replace(studies.full_pipeline(), nodes={})
    found = roofline.of(Study(studies.report(), Recording(full_pipeline=full)))
    assert found is not None
    assert [point.label for point in found.points] == ["saturated, position 0"]
    assert found.used is None


def test_a_design_whose_work_was_not_counted() -> None:
    report = studies.report()
    for row in report["nodes"]:
        del row["work"]
    assert roofline.of(Study(report, Recording())) is None
