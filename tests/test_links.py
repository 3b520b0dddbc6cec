"""Published bitstreams: link files, and fetching what they name, from a server on this machine or from a file."""

import errno
import hashlib
import json
from pathlib import Path

import bundles
import pytest
from web import Server

from edgellm import cache, catalog, downloads, links, transfer
from edgellm.bundle.pack import Additions, pack
from edgellm.cli.main import main
from edgellm.errors import BundleMismatch, ConfigError, DownloadFailed, ModelNotFound


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """A bundle with a bitstream."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "x.bit").write_bytes(bundles.bit(data=b"\xaa\x99\x55\x66" + bytes(200_000)))
    (folder / "x.hwh").write_text(bundles.hwh_text())
    pack(bundles.write_design(folder / "design"), folder / "toy.edgellm", Additions(folder / "x.bit"))
    return folder / "toy.edgellm"


@pytest.fixture
def server(packed):
    running = Server(packed.read_bytes())
    yield running
    running.close()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder of links of our own, and a cache."""
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELLM_PUBLIC_KEY", raising=False)
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    (tmp_path / "bitstreams").mkdir()
    monkeypatch.setattr(links, "folder", lambda: tmp_path / "bitstreams")
    return tmp_path / "bitstreams"


def entry(packed: Path, url: str = "http://127.0.0.1:9/toy.edgellm", **changed) -> dict:
    raw = packed.read_bytes()
    return {
        "url": url,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "bytes": len(raw),
        "provenance": {
            "model": hashlib.sha256(bundles.ONNX).hexdigest(),
            "build": bundles.BUILD,
            "tools": {"edgellm": "0.1.0", "vivado": "2025.2"},
            "verified_on_hardware": "no",
            **changed,
        },
    }


def publish(place: Path, content: object, name: str = "toy") -> Path:
    path = place / f"{name}.bit.link"
    path.write_text(json.dumps(content))
    return path


def test_fetched_once_and_used(packed, server, place):
    publish(place, {"aup-zu3": entry(packed, server.url)})
    path = links.fetch(links.find("toy", "aup-zu3"))
    assert path.name == "toy-aup-zu3.edgellm"
    assert path.read_bytes() == packed.read_bytes()
    assert links.fetch(links.find("toy", "aup-zu3")) == path
    assert server.requests == [None]
    assert (catalog.find(path) / "model.onnx").read_bytes() == bundles.ONNX
    assert (catalog.design_around(catalog.find(path)) / "accelerator.bit").is_file()


def test_a_broken_download_goes_on_in_the_next_run(packed, server, place):
    publish(place, {"aup-zu3": entry(packed, server.url)})
    link = links.find("toy", "aup-zu3")
    server.faults = [("cut", 50_000), *[("status", 503)] * 5]
    with pytest.raises(
        DownloadFailed, match=r"50,000 of [\d,]+ bytes are here: run the command again to go on"
    ):
        links.fetch(link)
    assert not link.asset.place.exists()
    links.fetch(link)
    assert server.requests[-1] == "bytes=50000-"
    assert [p.name for p in link.asset.place.parent.parent.iterdir()] == [link.sha256[:16]]


def test_wrong_content_is_not_kept(packed, server, place):
    publish(place, {"aup-zu3": entry(packed, server.url)})
    server.content = bytes(len(server.content))
    with pytest.raises(DownloadFailed, match="the server has another file; nothing of it is kept"):
        links.fetch(links.find("toy", "aup-zu3"))
    assert list(cache.root().rglob("*.edgellm")) == []


def test_offline_import(packed, place, tmp_path):
    publish(place, {"aup-zu3": entry(packed)})
    link = links.find("toy", "aup-zu3")
    assert links.fetch(link, packed).read_bytes() == packed.read_bytes()
    cache.clear()
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(DownloadFailed, match=r"expected .*: it is damaged or not from http://127"):
        links.fetch(link, tmp_path / "other")
    with pytest.raises(DownloadFailed, match=r"no such file: give toy-aup-zu3\.edgellm$"):
        links.fetch(link, tmp_path / "nowhere")
    assert not link.asset.place.exists()


def test_too_little_disk(packed, server, place, monkeypatch):
    publish(place, {"aup-zu3": entry(packed, server.url)})
    link = links.find("toy", "aup-zu3")
    usage = downloads.shutil.disk_usage("/")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=link.size - 1))
    with pytest.raises(DownloadFailed, match="the disk is too full: fetching the bitstream needs 0 MB"):
        links.fetch(link)
    assert server.requests == []


def test_a_disk_that_fills_up_on_the_way(packed, server, place, monkeypatch):
    publish(place, {"aup-zu3": entry(packed, server.url)})

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_receive", full)
        with pytest.raises(DownloadFailed, match="the disk is too full"):
            links.fetch(links.find("toy", "aup-zu3"))
    links.fetch(links.find("toy", "aup-zu3"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "0" * 64), ("build", 1), ("board", "kv260")],
    ids=["model", "build", "board"],
)
def test_a_bundle_that_is_not_what_its_link_promises(packed, server, place, field, value):
    board = value if field == "board" else "aup-zu3"
    changed = {} if field == "board" else {field: value}
    publish(place, {board: entry(packed, server.url, **changed)})
    with pytest.raises(BundleMismatch, match=f"{field} is .*, and its link promises {value}"):
        links.fetch(links.find("toy", board))


def test_a_bundle_without_a_bitstream(place, tmp_path):
    pack(bundles.write_design(tmp_path / "d"), tmp_path / "rtl.edgellm")
    publish(place, {"aup-zu3": entry(tmp_path / "rtl.edgellm")})
    with pytest.raises(BundleMismatch, match="holds no bitstream, and its link promises one"):
        links.fetch(links.find("toy", "aup-zu3"), tmp_path / "rtl.edgellm")


def test_what_is_not_published(packed, place):
    with pytest.raises(ModelNotFound) as caught:
        links.find("home-260k", "aup-zu3")
    assert str(caught.value) == (
        "no bitstream of home-260k for aup-zu3 has been published (there are: none yet): make one with Vivado and "
        "`edgellm bundle --bitstream` (docs/bundles.md)"
    )
    publish(place, {"aup-zu3": entry(packed), "kv260": entry(packed)})
    with pytest.raises(ModelNotFound, match=r"there are: toy for aup-zu3, toy for kv260"):
        links.find("toy", "pynq-z2")


def test_a_link_file_elsewhere(packed, tmp_path):
    path = publish(tmp_path, {"aup-zu3": entry(packed)}, "mine")
    assert links.find(str(path), "aup-zu3").name == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must be an object with a field for each board"),
        ({"aup-zu3": 1}, "field aup-zu3 must be an object"),
        ({"aup-zu3": {}}, "field aup-zu3.provenance must be an object"),
        ({"../x": "entry"}, r"'toy' for '\.\./x' must be plain names"),
        ({"aup-zu3": {"sha256": "0"}}, "field aup-zu3.sha256 must be 64 hex digits"),
        ({"aup-zu3": {"bytes": "1"}}, "field aup-zu3.bytes must be an integer"),
        ({"aup-zu3": {"md5sum": "1"}}, "unknown field aup-zu3.md5sum"),
        ({"aup-zu3": {"verified_on_hardware": "maybe"}}, "must be yes or no, not 'maybe'"),
    ],
)
def test_link_files_that_are_wrong(packed, place, content, message):
    sound = entry(packed)
    if isinstance(content, dict):
        for board, changed in content.items():
            if changed == "entry":
                content[board] = sound
            elif changed and changed != 1:
                inner = "provenance" if "verified_on_hardware" in changed else None
                content[board] = (
                    {**sound, inner: {**sound[inner], **changed}} if inner else {**sound, **changed}
                )
    path = publish(place, content)
    with pytest.raises(ConfigError, match=message):
        links.read(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        links.read(path)


def test_command(packed, server, place, capsys):
    publish(place, {"aup-zu3": entry(packed, server.url)})
    assert main(["fetch", "bitstream", "toy", "--board", "aup-zu3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(
        "toy for aup-zu3, a bundle with a bitstream, 0.2 MB, made with edgellm 0.1.0, vivado"
    )
    assert out[1] == "verified on hardware: no"
    assert Path(out[2]).read_bytes() == packed.read_bytes()


def test_what_is_shipped_can_be_read(monkeypatch):
    """Link files that come with edgellm; the README says that there is none yet."""
    monkeypatch.undo()
    for link in links.published():
        assert link.url.startswith("https://")
    assert (
        "No bitstream has been published yet" in (links.folder() / "README.md").read_text()
        or links.published()
    )
