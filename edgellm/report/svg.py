"""Matplotlib's SVG as part of a page: named, in the page's colours (light or dark), with a tip on every marked shape."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_STAND_IN = "#0a0b"  # colours that no chart uses otherwise; the last two digits number the page's colours
INK, GRID, PAPER, MUTED, *SERIES = (f"{_STAND_IN}{number:02x}" for number in range(12))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


def inline(figure: Figure, name: str, title: str, description: str, tips: Mapping[str, str]) -> Markup:
    """The figure as an `<svg>` for a page in which `name` is unique; `tips`: gid of a shape -> text."""
    from markupsafe import Markup

    root = ET.fromstring(_drawn(figure, name))
    for unwanted in ("metadata", "defs/style"):
        _remove(root, unwanted)
    _describe(root, name, title, description)
    shapes = {element.get("id"): element for element in root.iter()}
    for shape, tip in tips.items():
        _first(shapes[shape], "title").text = tip
    _rename_ids(root, name)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    text = ET.tostring(root, encoding="unicode")
    return Markup(re.sub(f"{_STAND_IN}([0-9a-f]{{2}})", lambda m: f"var(--chart-{int(m[1], 16)})", text))


def _drawn(figure: Figure, name: str) -> bytes:
    """SVG of a figure; the same bytes every time."""
    import matplotlib

    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _remove(root: ET.Element, path: str) -> None:
    *parents, last = (f"{{{SVG}}}{step}" for step in path.split("/"))
    parent = root.find("/".join(parents)) if parents else root
    found = None if parent is None else parent.find(last)
    if parent is not None and found is not None:
        parent.remove(found)


def _first(parent: ET.Element, tag: str) -> ET.Element:
    element = ET.Element(f"{{{SVG}}}{tag}")
    parent.insert(0, element)
    return element


def _describe(root: ET.Element, name: str, title: str, description: str) -> None:
    for size in ("width", "height"):
        del root.attrib[size]
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for tag, text in (("desc", description), ("title", title)):
        element = _first(root, tag)
        element.set("id", f"{name}-{tag}")
        element.text = text


def _rename_ids(root: ET.Element, name: str) -> None:
    """Prefix the ids that something refers to, drop the others: ids of several charts share one page."""
    text = ET.tostring(root, encoding="unicode")
    wanted = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) - {""}
    for element in root.iter():
        own = element.get("id", "")
        if own in wanted:
            element.set("id", f"{name}-{own}")
        elif own and own not in (f"{name}-title", f"{name}-desc"):
            del element.attrib["id"]
        for key, value in element.attrib.items():
            element.set(key, re.sub(r"^(#|url\(#)(?=.)", rf"\g<1>{name}-", value))
