"""The zip subset of bundles: what any zip program makes of it, and everything that it refuses."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from bundles import raw_archive
from hypothesis import given
from hypothesis import strategies as st

from edgellm.bundle import archive
from edgellm.bundle.archive import Archive, clash, is_name
from edgellm.errors import BundleCorrupt, BundleError

PATH = Path("x.edgellm")
NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.+-]{0,8}(/[a-z0-9_][a-z0-9_.+-]{0,8}){0,2}", fullmatch=True)
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=300), max_size=6).filter(lambda c: clash(c) is None)


def written(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    archive.write(file, contents.items())
    return file.getvalue()


def read(raw: bytes) -> dict[str, bytes]:
    opened = Archive(io.BytesIO(raw), PATH)
    return {name: opened.read(name, 4 << 20) for name in opened.members}


def refusal(raw: bytes) -> str:
    with pytest.raises(BundleCorrupt) as caught:
        read(raw)
    message = str(caught.value)
    assert message.startswith("x.edgellm: ")
    assert message.endswith(": get the bundle again")
    return message.removeprefix("x.edgellm: ").removesuffix(": get the bundle again")


@given(CONTENTS)
def test_what_is_written_is_read_by_us_and_by_others(contents):
    raw = written(contents)
    assert read(raw) == contents
    with zipfile.ZipFile(io.BytesIO(raw)) as other:
        assert other.testzip() is None
        assert {info.filename: other.read(info) for info in other.infolist()} == contents


def test_files_are_streamed_in(tmp_path):
    (tmp_path / "big").write_bytes(bytes(range(256)) * 10_000)
    file = io.BytesIO()
    archive.write(file, [("big", tmp_path / "big"), ("small", b"x")])
    assert read(file.getvalue()) == {"big": (tmp_path / "big").read_bytes(), "small": b"x"}


def test_the_bytes_are_those_of_the_specification():
    raw = written({"a": b"bc"})
    assert raw.hex() == (
        "504b0304" "1400" "0000" "0000" "0000" "2100" "382ba9c2" "02000000" "02000000" "0100" "0000" "61" "6263"
        "504b0102" "1403" "1400" "0000" "0000" "0000" "2100" "382ba9c2" "02000000" "02000000" "0100" "0000" "0000"
        "0000" "0000" "0000a481" "00000000" "61"
        "504b0506" "0000" "0000" "0100" "0100" "2f000000" "21000000" "0000"
    )  # fmt: skip


@given(CONTENTS, st.data())
def test_every_altered_bit_is_noticed(contents, data):
    raw = bytearray(written(contents))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    refusal(bytes(raw))


def test_every_byte_of_a_small_archive_is_checked():
    raw = written({"a/b": b"content", "c": b""})
    for place in range(len(raw)):
        altered = bytearray(raw)
        altered[place] ^= 0xFF
        refusal(bytes(altered))
    for size in range(len(raw)):
        refusal(raw[:size])


@given(st.binary(max_size=400))
def test_noise_is_refused(raw):
    refusal(raw)


@given(CONTENTS, st.binary(min_size=1, max_size=30), st.booleans())
def test_nothing_hides_before_or_behind(contents, extra, before):
    raw = written(contents)
    refusal(extra + raw if before else raw + extra)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "\\\\server\\x",
        "a\\b",
        "C:/x",
        "c:x",
        ".hidden",
        "a/.hidden",
        "a//b",
        "a/",
        "",
        "./a",
        "nul\0",
        "new\nline",
        "with space",
        "ünï".encode(),
        b"\xff",
        "a" * 201,
    ],
)
def test_names_that_are_refused(name):
    assert "has a name that bundles refuse" in refusal(raw_archive([{"name": name, "data": b"x"}]))
    if isinstance(name, str):
        assert not is_name(name)
        with pytest.raises(BundleError, match="cannot be the name of a member"):
            archive.write(io.BytesIO(), [(name, b"")])


@pytest.mark.parametrize(
    ("entry", "oddity"),
    [
        ({"mode": 0o120777 << 16}, "a link, folder or device"),
        ({"mode": 0o020666 << 16}, "a link, folder or device"),
        ({"mode": 0o040755 << 16}, "a link, folder or device"),
        ({"flags": 1}, "encrypted"),
        ({"method": 8, "size": 1 << 30}, "compressed"),
        ({"size": 1 << 30}, "compressed"),
        ({"mode": 0o104755 << 16}, "described by an unusual header"),
        ({"flags": 8}, "described by an unusual header"),
        ({"extra": struct.pack("<2H3Q", 1, 24, 2, 2, 0)}, "described by an unusual header"),
        ({"version": 45}, "described by an unusual header"),
        ({"system": 0}, "described by an unusual header"),
    ],
)
def test_members_that_are_refused(entry, oddity):
    assert refusal(raw_archive([{"name": "a", "data": b"xx", **entry}])) == (
        f"member a is {oddity}, which bundles refuse"
    )


def test_a_real_compressed_file_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("bomb", bytes(10 << 20))
    assert len(file.getvalue()) < 20_000
    assert refusal(file.getvalue()) == "member bomb is compressed, which bundles refuse"


def test_doubled_and_clashing_names():
    for second in ("a/b", "A/B", "a/b/c", "a"):
        entries = [{"name": "a/b", "data": b"x"}, {"name": second, "data": b"y"}]
        assert refusal(raw_archive(entries)) == f"member {second} is there twice, or as file and as folder"


def test_overlapping_members():
    first = {"name": "a", "data": b"x" * 100}
    assert "is not where the one before it ends" in refusal(
        raw_archive([first, {"name": "b", "data": b"x" * 100, "offset": 0, "no_local": True}])
    )
    quine = {"name": "b", "data": b"", "size": 131, "packed": 131, "no_local": True}
    assert refusal(raw_archive([first, quine])) == "member b reaches beyond the members"


def test_gaps_and_false_directories():
    assert "between its last member and its directory" in refusal(
        raw_archive([{"name": "a", "data": b"xyz", "packed": 1, "size": 1, "crc": 2363233923}])
    )
    raw = bytearray(written({"a": b""}))
    raw[-10:-6] = struct.pack("<I", 1)
    assert "directory of 1 members in 1 bytes is impossible" in refusal(bytes(raw))


def test_local_header_that_says_something_else():
    raw = bytearray(written({"a": b"xx"}))
    raw[30] = ord("b")
    assert refusal(bytes(raw)) == "member a is damaged: its header is not what the directory says"


def test_too_many_members_are_refused_before_they_are_read(monkeypatch):
    raw = written({str(i): b"" for i in range(20)})
    monkeypatch.setattr(archive, "MEMBERS_LIMIT", 19)
    assert "directory of 20 members" in refusal(raw)
    with pytest.raises(BundleError, match=r"20 files of \d+ bytes are too much: a bundle has up to 19"):
        written({str(i): b"" for i in range(20)})


def test_memory_stays_small_whatever_a_file_claims(tmp_path):
    """A sparse file of a gigabyte that claims a directory of most of it."""
    claims = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 4000, 4000, 900 << 20, (124 << 20) - 22, 0)
    place = tmp_path / "sparse"
    with place.open("wb") as file:
        file.truncate((1 << 30) - len(claims))
        file.seek(0, 2)
        file.write(claims)
    tracemalloc.start()
    with place.open("rb") as file, pytest.raises(BundleCorrupt, match="is impossible"):
        Archive(file, PATH)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_reads_are_limited():
    opened = Archive(io.BytesIO(written({"a": b"12345"})), PATH)
    with pytest.raises(BundleCorrupt, match="member a has 5 bytes, more than the 4 it may have"):
        opened.read("a", 4)
    with pytest.raises(BundleCorrupt, match="member b is missing"):
        opened.read("b", 4)


def test_a_member_that_shrinks_while_it_is_read():
    file = io.BytesIO(written({"a": b"12345"}))
    opened = Archive(file, PATH)
    file.truncate(33)
    with pytest.raises(BundleCorrupt, match="member a is truncated"):
        opened.read("a", 10)


def test_unzip_reads_them(tmp_path):
    (tmp_path / "x.zip").write_bytes(written({"model/a": b"1", "b": b"2"}))
    done = subprocess.run(
        [sys.executable, "-m", "zipfile", "-t", str(tmp_path / "x.zip")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "Done testing"
