"""Untrusted text files: bounded, UTF-8 or named, gzip or said to be damaged."""

import gzip
import os

import pytest

from edgellm.data import lines
from edgellm.data.lines import read_lines
from edgellm.errors import TrainingError


def texts(path):
    return [line.text for line in read_lines(path)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\n\r\nb\r\n", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("grüße\u2028東京\x0b\n".encode(), ["grüße\u2028東京\x0b"]),
    ],
)
def test_lines_end_at_line_feeds_alone(tmp_path, raw, expected):
    (tmp_path / "a.txt").write_bytes(raw)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(raw, mtime=0))
    assert texts(tmp_path / "a.txt") == texts(tmp_path / "a.txt.gz") == expected


def test_a_line_that_is_not_utf8_is_reported_and_the_rest_goes_on(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntw\xff\nthree\n")
    found = list(read_lines(tmp_path / "a.txt"))
    assert [line.text for line in found] == ["one", None, "three"]
    assert (found[1].number, found[1].problem) == (
        2,
        "not UTF-8: byte 0xff at column 3: convert the file to UTF-8",
    )


def test_a_line_that_is_too_long_is_skipped_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINE", 8)
    (tmp_path / "a.txt").write_bytes(b"x" * 8 + b"\r\n" + b"y" * 40 + b"\n" + b"z" * 9)
    found = list(read_lines(tmp_path / "a.txt"))
    assert [(line.number, line.text) for line in found] == [(1, "x" * 8), (2, None), (3, None)]
    assert found[1].problem == "longer than 0 MiB: split it"


@pytest.mark.parametrize("raw", [b"line\n" * 20, b"x" * 100])
def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch, raw):
    monkeypatch.setattr(lines, "MOST_BYTES", 50)
    monkeypatch.setattr(lines, "MOST_LINE", 8)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(raw, mtime=0))
    with pytest.raises(TrainingError, match=r"bomb.gz: more than 0 MiB of text: train on a part of it"):
        texts(tmp_path / "bomb.gz")


@pytest.mark.parametrize(
    "raw",
    [
        b"plain",
        gzip.compress(b"abc" * 99, mtime=0)[:-9],
        gzip.compress(b"a" * 99, mtime=0)[:20] + b"\xff" * 9,
    ],
)
def test_damaged_gzip(tmp_path, raw):
    (tmp_path / "a.gz").write_bytes(raw)
    with pytest.raises(TrainingError, match=r"a.gz: damaged gzip file \(.*\): make it again"):
        texts(tmp_path / "a.gz")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(
            TrainingError, match=r"is not a regular file: corpus paths are relative to the recipe"
        ):
            texts(tmp_path / name)
    with pytest.raises(
        TrainingError, match=r"none: no such corpus file: corpus paths are relative to the recipe"
    ):
        texts(tmp_path / "none")
