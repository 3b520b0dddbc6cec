"""The page's files: how they are served, and what can be seen of them without a browser."""

import configparser
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from edgellm.serve import page

MOST_BYTES = 60_000
WEB = page.FOLDER
SCRIPTS = sorted(WEB.glob("*.js"))
TEXT, SHAPE = 4.5, 3.0  # WCAG AA: contrast of text, and of what shows where and how something is
TEXTS_ON = {  # text -> what it lies on
    "ink": ("paper", "band", "sunk", "mine", "bad-band"),
    "soft": ("paper", "band"),
    "accent": ("paper", "band"),
    "bad": ("paper", "band"),
    "on-accent": ("accent",),
}
SHAPES_ON = {
    "edge": ("paper", "band", "mine"),
    "accent": ("paper", "band", "mine"),
    "bar": ("paper",),
    "good": ("paper",),
    "bad": ("paper", "bad-band"),
}


@pytest.fixture
def client():
    app = FastAPI()
    app.include_router(page.page_router())
    with TestClient(app) as client:
        yield client


def test_the_page_and_its_files_have_their_types(client):
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    for name, kind in {
        "page.js": "text/javascript",
        "style.css": "text/css",
        "icon.svg": "image/svg",
    }.items():
        response = client.get(f"/web/{name}")
        assert response.content == (WEB / name).read_bytes()
        assert response.headers["content-type"].startswith(kind)


def test_a_browser_keeps_files_and_asks_for_them_by_their_tags(client):
    first = client.get("/web/page.js")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    assert tag != client.get("/web/style.css").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/web/page.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/web/page.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_has_the_headers_alone(client):
    for path in ("/", "/web/page.js"):
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize("path", ["/", "/web/page.js", "/web/none.js"])
def test_nothing_inline_and_nothing_of_other_servers_is_allowed(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/web/none.js",
        "/web/",
        "/web/../page.py",
        "/web/..%2fpage.py",
        "/web/%2e%2e%2fpage.py",
        "/web/..%5cpage.py",
        "/web/%2fetc%2fpasswd",
        "/web/index.html%00.js",
        "/web/.",
        "/web//page.js",
    ],
)
def test_no_path_leads_out_of_the_folder(client, path):
    assert client.get(path).status_code == 404


def test_the_page_is_small():
    assert sum(path.stat().st_size for path in WEB.iterdir()) < MOST_BYTES


def test_every_file_is_served_and_packaged(client):
    root = Path(page.__file__).parents[2]
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    patterns = config["options.package_data"]["edgellm.serve"].split(", ")
    for path in WEB.iterdir():
        assert client.get(f"/web/{path.name}").status_code == 200, path.name
        assert any(path.relative_to(WEB.parent).match(pattern) for pattern in patterns), path.name


class Elements(HTMLParser):
    """All of them, as (tag, attributes)."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.feed((WEB / "index.html").read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def elements():
    return Elements().found


def test_no_file_names_another_server():
    for path in WEB.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//\w+\.\w", re.sub(r"^\s*//.*$", "", text, flags=re.M)), path.name


def test_nothing_is_inline(elements):
    for tag, attributes in elements:
        assert not {name for name in attributes if name == "style" or name.startswith("on")}, (
            tag,
            attributes,
        )
        assert tag != "style"
        assert tag != "script" or "src" in attributes
    for path in SCRIPTS:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()
        )


def test_what_is_referred_to_is_there(elements):
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referring = ("for", "aria-labelledby", "aria-describedby", "aria-controls")
    for (_, attributes), name in product(elements, referring):
        assert {*attributes.get(name, "").split()} <= {*ids}
    for path in SCRIPTS:
        found = re.findall(r"""(?:find|append|getElementById)\("([\w-]+)"\)""", path.read_text())
        assert {*found} <= {*ids}, path.name
        for module in re.findall(r'from "\./([\w.]+)"', path.read_text()):
            assert (WEB / module).is_file()


def test_every_field_has_a_label(elements):
    labelled = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    fields = [attributes["id"] for tag, attributes in elements if tag in ("input", "select", "textarea")]
    assert len(fields) == 7
    assert {*fields} <= labelled


def test_live_regions_do_not_hold_what_changes_with_each_token_or_second(elements):
    speaking = [a for _, a in elements if a.get("role") in ("status", "alert", "log") or "aria-live" in a]
    assert [attributes["id"] for attributes in speaking] == ["announcer"]


def palettes():
    """Colours by name, light and dark."""
    blocks = re.findall(r":root \{(.*?)\n\s*\}", (WEB / "style.css").read_text(), re.S)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert {*light} == {*dark}
    return {"light": light, "dark": dark}


def luminance(colour):
    """Relative luminance of #rrggbb, by WCAG."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXTS_ON, TEXT), (SHAPES_ON, SHAPE)], ids=["text", "shape"])
def test_contrast_is_enough(scheme, pairs, least):
    colours = palettes()[scheme]
    low = {
        (front, back): round(contrast(colours[front], colours[back]), 2)
        for front, backs in pairs.items()
        for back in backs
        if contrast(colours[front], colours[back]) < least
    }
    assert not low


def test_motion_is_for_those_who_want_it():
    style = (WEB / "style.css").read_text()
    wanted = re.search(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", style, re.S)[0]
    rest = style.replace(wanted, "")
    assert "animation" in wanted
    assert not re.search(r"\b(animation|transition|scroll-behavior)\b", rest)
