"""Atomic files: whole or not at all."""

import os
from pathlib import Path

import pytest

from edgellm import files
from edgellm.errors import UsageError


def test_write_replaces_whole_content(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    files.write_text(path, "first, and longer")
    files.write_text(path, "second")
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["a.txt"]


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"old")

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_new_directory_appears_only_when_the_block_ends(tmp_path):
    target = tmp_path / "out"
    with files.new_directory(target) as work:
        (work / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_directory_leaves_nothing(tmp_path, error):
    with pytest.raises(error), files.new_directory(tmp_path / "out") as work:
        (work / "x").write_text("1")
        raise error
    assert os.listdir(tmp_path) == []


def test_replace_keeps_the_old_directory_until_the_end(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileExistsError), files.new_directory(target):
        pass
    with pytest.raises(RuntimeError), files.new_directory(target, replace=True):
        raise RuntimeError
    assert os.listdir(target) == ["old"]
    with files.new_directory(target, replace=True) as work:
        (work / "new").touch()
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["missing", "empty", "older"])
def test_what_may_be_replaced(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "mark").touch()
    files.check_replaceable(tmp_path / name, "mark", "a thing")


def test_what_belongs_to_somebody_else_may_not(tmp_path):
    """A folder without the mark, one with a folder of that name, a file, a link to nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder" / "mark").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "file", tmp_path / "link", tmp_path / "folder"):
        with pytest.raises(UsageError) as error:
            files.check_replaceable(path, "mark", "a thing")
        assert str(error.value) == f"{path} is neither empty nor a thing: name another folder"


@pytest.mark.parametrize("name", [".", ".."])
def test_the_current_folder_cannot_be_replaced(tmp_path, monkeypatch, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "mark").touch()
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(UsageError) as error:
        files.check_replaceable(Path(name), "mark", "a thing")
    assert (
        str(error.value) == f"{name} holds the current folder, so it cannot be replaced: name another folder"
    )


def test_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
