"""Bars of resources: by kind of node, estimates and counts."""

from __future__ import annotations

import studies

from edgellm.report import resources


def test_a_bar_a_resource_of_the_board() -> None:
    bars = resources.bars(studies.study())
    assert [bar.label for bar in bars] == ["LUT", "FF", "DSP", "BRAM18"]  # the board has no URAM
    assert bars[0].parts == {
        "linear layers": 200,
        "attention": 100,
        "FIFOs and converters": 0,
        "other blocks": 100,
    }
    assert (bars[0].used, bars[0].share) == (400, 0.4)


def test_what_was_counted_stands_below_what_was_estimated() -> None:
    known = studies.study(counted=True)
    bars = {bar.label: bar.used for bar in resources.bars(known)}
    assert bars["LUT, estimated"] == 400
    assert bars["LUT, Yosys"] == 3 * 101
    assert resources.totals(known, counted=True)["dsp"] == 3 * 9
    assert resources.totals(known, counted=False)["dsp"] == 4 * 8
    assert resources.uncounted(known) == ["embed"]
