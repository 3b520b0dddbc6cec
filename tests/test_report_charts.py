"""Pictures of the roofline and of the resources say in words what they show."""

from __future__ import annotations

import pytest
import studies

from edgellm.report import charts, resources, roofline
from edgellm.report.resources import Bar

pytestmark = pytest.mark.fpga


def test_roofline() -> None:
    found = roofline.of(studies.study())
    assert found is not None
    drawing = charts.roofline(found)
    assert (
        "Built: 46 MACs a cycle. Reached: saturated, position 0, expected: 20.1; one stream, simulated: 6.4; "
        "2 slots busy, simulated: 20.6.</desc>"
    ) in drawing
    assert "Toy: 20 multiplier blocks of 3 products, block memories: 60 MACs/cycle" in drawing


def test_resources() -> None:
    drawing = charts.resources(resources.bars(studies.study()))
    assert "Share of the board: LUT 40%, FF 80%, DSP 160%, BRAM18 50%.</desc>" in drawing
    assert "<title>LUT: attention 100 of 1,000 (10.0%)</title>" in drawing
    assert " 160%</text>" in drawing


def test_a_design_that_takes_nothing() -> None:
    assert "LUT 0%" in charts.resources([Bar("LUT", {"other blocks": 0}, 10)])
