"""Matplotlib's SVG on a page: names, tips, colours, and ids that do not collide."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from edgellm.report import canvas, svg

pytestmark = pytest.mark.fpga
NS = {"svg": svg.SVG}


def drawing(name: str = "chart", **texts: str) -> str:
    """A chart of two bars, the first with a tip."""
    figure, axes = canvas.figure(2)
    axes.barh(0, 3, color=svg.SERIES[0], gid="bar-0")
    axes.barh(1, 2, color=svg.MUTED)
    canvas.rows(axes, ["one <1>", "two"], "clock cycle")
    named = {"title": "Bars", "description": "Two bars.", **texts}
    return svg.inline(
        figure, name, named["title"], named["description"], {"bar-0": texts.get("tip", "three")}
    )


def test_a_reader_hears_title_and_description() -> None:
    root = ET.fromstring(drawing())
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "chart-title chart-desc"
    assert [(e.tag.split("}")[1], e.get("id"), e.text) for e in root[:2]] == [
        ("title", "chart-title", "Bars"),
        ("desc", "chart-desc", "Two bars."),
    ]


def test_a_shape_has_its_tip() -> None:
    tips = ET.fromstring(drawing()).findall(".//svg:g/svg:title", NS)
    assert [tip.text for tip in tips] == ["three"]


def test_text_is_escaped() -> None:
    root = ET.fromstring(drawing(title="<b>&", description="</desc>", tip="</title>"))
    assert root[0].text == "<b>&"
    assert "one <1>" in [text.text for text in root.iter(f"{{{svg.SVG}}}text")]


def test_colours_are_the_page_s() -> None:
    text = drawing()
    assert "fill: var(--chart-4)" in text
    assert "fill: var(--chart-3)" in text
    assert "#0a0b" not in text
    assert set(re.findall(r"fill: (#\w+)", text)) == set()


def test_it_scales_with_the_page() -> None:
    root = ET.fromstring(drawing())
    assert (root.get("width"), root.get("height")) == (None, None)
    assert root.get("viewBox") is not None


def test_nothing_but_the_drawing_is_left() -> None:
    text = drawing()
    assert "<metadata" not in text
    assert "<style" not in text
    assert "<?xml" not in text
    assert "<!DOCTYPE" not in text


def test_ids_are_the_chart_s_own_and_lead_somewhere() -> None:
    text = drawing("first")
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids
    assert len(ids) == len(set(ids))
    assert all(name.startswith("first-") for name in ids)
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)


def test_the_same_drawing_twice() -> None:
    assert drawing() == drawing()
