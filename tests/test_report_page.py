"""The page as a whole: complete, self-contained, readable by people and by programs that read to them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import studies

from edgellm.report import page
from edgellm.report.study import Study
from edgellm.sim import recording
from edgellm.sim.full_pipeline import SHOWN_SPANS, FullPipeline, Load
from edgellm.sim.recording import Judgement, Recording
from edgellm.sim.spans import Span

pytestmark = pytest.mark.fpga
VOID = {"meta", "link", "br", "img", "hr", "input"}
SECTIONS = ("summary", "token", "pipeline", "roofline", "resources", "nodes", "verification")


class Outline(HTMLParser):
    """Elements with their attributes, and whether every element that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.fixture(scope="module")
def whole() -> str:
    return page.render(studies.study(counted=True))


def bare() -> str:
    return page.render(Study(studies.report(), Recording()))


@pytest.mark.parametrize("text", ["whole", "bare"])
def test_elements_close_and_ids_are_unique(text: str, whole: str) -> None:
    outline = Outline(whole if text == "whole" else bare())
    assert outline.open == []
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    assert {f"{name}-section" for name in SECTIONS} <= set(ids)
    for name in " ".join(outline.values("aria-labelledby")).split():
        assert name in ids
    assert {link.removeprefix("#") for link in outline.values("href")} <= set(ids)


def test_it_needs_nothing_from_elsewhere(whole: str) -> None:
    outline = Outline(whole)
    assert outline.values("src") == []
    assert all(link.startswith("#") for link in outline.values("href") + outline.values("xlink:href"))
    assert set(re.findall(r"https?://[^\"' )]+", whole)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in whole
    assert "@import" not in whole


def test_tables_and_pictures_are_readable_without_eyes(whole: str) -> None:
    outline = Outline(whole)
    assert all("scope" in attributes for tag, attributes in outline.elements if tag == "th")
    pictures = [attributes for tag, attributes in outline.elements if tag == "svg"]
    assert len(pictures) == 4
    assert all(p["role"] == "img" and p["aria-labelledby"] for p in pictures)
    regions = [a for _, a in outline.elements if a.get("role") == "region"]
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)
    assert ("html", {"lang": "en"}) in outline.elements


def test_it_follows_light_and_dark(whole: str) -> None:
    style = whole[whole.index("<style>") : whole.index("</style>")]
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    used = set(re.findall(r"var\((--[\w-]+)\)", whole))
    assert used
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark


def test_text_of_others_is_only_text() -> None:
    judged = Judgement("<script>alert(1)</script>", False, message="<b>")
    report = {**studies.report(), "model": "<img src=x>"}
    text = page.render(Study(report, Recording(judgement=judged)))
    assert "<q>&lt;script&gt;alert(1)&lt;/script&gt;</q>" in text
    assert "<img" not in text
    assert "<b>" not in text


def test_numbers_and_tags(whole: str) -> None:
    assert "<h1>toy &amp; co on Toy</h1>" in whole
    for tag in ("assumed", "expected", "simulated", "estimated", "projected", "derived"):
        assert f'<span class="tag">{tag}</span>' in whole
    assert re.search(r"First token of a prompt of 5 tokens: 1,500 cycles .*\n.*15\.0 µs", whole)
    assert "The bound with all slots busy: 400 cycles a token" in whole
    assert "Every stream equals the golden model:</span> 60 vectors\n(7,000 values) of 4 nodes" in whole


def test_the_table_of_nodes(whole: str) -> None:
    row = next(
        line for line in whole.splitlines() if line.startswith('<tr><th scope="row">qkv_acc</th><td>MVAU')
    )
    values = re.findall(r'data-value="([^"]*)"', row)
    assert values == ["32", "", "237", "0.7", "10", "100", "101", "200", "201", "8", "9", "3", "4"]
    assert '<span class="unseen">LUT by </span>Yosys' in whole
    assert "Without a count by Yosys: embed." in whole


def test_without_counts_there_is_no_second_column() -> None:
    assert "Yosys" not in bare()


def test_what_was_not_simulated_says_how() -> None:
    text = bare()
    for command in ("-p PROMPT", "--fill -p PROMPT -p PROMPT", "--verify -p PROMPT"):
        assert f"<code>edgellm simulate DIR {command}</code>" in text
    assert text.count("<svg") == 2


def test_a_report_of_an_earlier_version_has_no_roofline() -> None:
    report = studies.report()
    for row in report["nodes"]:
        del row["work"]
    text = page.render(Study(report, Recording()))
    assert "compiled before work was counted: compile it again" in text
    assert text.count("<svg") == 1


def test_a_deviation_shows_its_address() -> None:
    address = {"node": "qkv", "token": 12, "layer": None, "channel": 17, "expected": -5, "got": 8}
    judged = Judgement("lock", True, deviation=address, message="node qkv, token 12")
    text = page.render(Study(studies.report(), Recording(judgement=judged)))
    assert '<tr><th scope="row">channel</th><td>17</td></tr>' in text
    assert '<tr><th scope="row">layer</th><td>outside of the layers</td></tr>' in text
    assert "FINN's own core" in text.replace("&#39;", "'")
    assert '<span class="bad">differs from the golden model: node qkv, token 12</span>' in text


def test_the_same_page_twice(whole: str) -> None:
    assert page.render(studies.study(counted=True)) == whole


def test_the_fullest_pipeline_stays_small() -> None:
    spans = [
        Span(studies.NODES[k % 4], k % 8, 1000 + k, k % 5, 10**6 + 97 * k, 10**6 + 97 * k + 96)
        for k in range(SHOWN_SPANS)
    ]
    loads = {node: Load(10, 100, 0.5) for node in studies.NODES}
    full = FullPipeline(8, 10**6, 10**6 + 50_000, 90, loads, spans[-1].first, spans)
    text = page.render(Study(studies.report(), Recording(studies.one_prompt(), full, studies.JUDGED)))
    assert text.count("<title>") > SHOWN_SPANS
    assert len(text.encode()) < 500_000


def test_writing(tmp_path: Path) -> None:
    folder = studies.write(tmp_path / "design")
    assert page.write(folder) == folder / "report.html"
    assert "Not simulated yet" in (folder / "report.html").read_text()
    recording.keep(folder, studies.study().recording)
    assert page.write(folder, tmp_path / "page.html") == tmp_path / "page.html"
    assert "Not simulated yet" not in (tmp_path / "page.html").read_text()
