"""The zip files that bundles are: stored, without gaps, and with every byte of every header given by the specification.

Any zip program reads them. The reader accepts no other zip file: it writes each header again from name, size, checksum
and place, and compares. So nothing can be hidden in one (links, encryption, compression, zip64, comments, overlapping or
doubled members, data before, between or behind), and every altered byte is noticed. docs/bundles.md has the layout.
"""

from __future__ import annotations

import itertools
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from edgellm.errors import BundleCorrupt, BundleError
from edgellm.files import CHUNK

MEMBERS_LIMIT, NAME_LIMIT, SIZE_LIMIT = 4096, 200, 1 << 30  # members, characters, bytes of the file
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_VERSION, _UNIX = 20, 3 << 8
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01, midnight: the least that there is
_MODE = 0o100644 << 16
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the archive: its size in bytes, its CRC-32, and where its header begins."""

    name: str
    size: int
    crc: int
    offset: int

    @property
    def data(self) -> int:
        """Where its content begins."""
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.data + self.size

    def local_header(self) -> bytes:
        """What stands before its content."""
        fields = (_VERSION, 0, 0, _TIME, _DATE, self.crc, self.size, self.size, len(self.name), 0)
        return _LOCAL.pack(_LOCAL_MARK, *fields) + self.name.encode("ascii")

    def central_header(self) -> bytes:
        """Its entry in the directory at the end."""
        version = (_VERSION | _UNIX, _VERSION, 0, 0, _TIME, _DATE)
        sizes = (self.crc, self.size, self.size, len(self.name), 0, 0, 0, 0, _MODE, self.offset)
        return _CENTRAL.pack(_CENTRAL_MARK, *version, *sizes) + self.name.encode("ascii")


def is_name(name: str) -> bool:
    """Whether a member may be called so: a relative path of plain ASCII parts, none of them hidden."""
    return len(name) <= NAME_LIMIT and all(_PART.fullmatch(part) for part in name.split("/"))


def clash(names: Iterable[str]) -> str | None:
    """A name that another one differs from in case only, or lies below, as it would be impossible on some disk."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        lower = name.lower()
        parents = set(itertools.accumulate(lower.split("/")[:-1], lambda above, part: f"{above}/{part}"))
        if lower in files | folders or parents & files:
            return name
        files.add(lower)
        folders |= parents
    return None


def write(file: BinaryIO, contents: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write the members in the order given; BundleError where one cannot be in a bundle."""
    members: list[Member] = []
    for name, content in contents:
        if not is_name(name):
            raise BundleError(f"{name!r} cannot be the name of a member: use letters, digits and . _ + -")
        members.append(_append(file, Member(name, 0, 0, file.tell()), content))
    directory = file.tell()
    file.writelines(member.central_header() for member in members)
    size, count = file.tell() - directory, len(members)
    file.write(_END.pack(_END_MARK, 0, 0, count, count, size, directory, 0))
    if file.tell() > SIZE_LIMIT or count > MEMBERS_LIMIT:
        raise BundleError(
            f"{count} files of {file.tell()} bytes are too much: a bundle has up to {MEMBERS_LIMIT} and {SIZE_LIMIT}"
        )


def _append(file: BinaryIO, member: Member, content: bytes | Path) -> Member:
    """The content first, then the header before it, which needs its checksum."""
    file.seek(member.data)
    crc = size = 0
    for chunk in [content] if isinstance(content, bytes) else _chunks(content):
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        file.write(chunk)
    member = replace(member, crc=crc, size=size)
    file.seek(member.offset)
    file.write(member.local_header())
    file.seek(member.end)
    return member


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


class Archive:
    """An open archive whose directory has been checked. Memory stays small whatever the file claims."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """`path` is for messages. Raises BundleCorrupt."""
        self._file, self._path = file, path
        members = list(self._directory())
        if name := clash(member.name for member in members):
            raise self._corrupt(f"member {name} is there twice, or as file and as folder")
        self.members = {member.name: member for member in members}

    def _corrupt(self, what: str) -> BundleCorrupt:
        return BundleCorrupt(f"{self._path}: {what}: get the bundle again")

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def _directory(self) -> Iterator[Member]:
        total = self._file.seek(0, os.SEEK_END)
        if not _END.size <= total <= SIZE_LIMIT:
            raise self._corrupt(f"{total} bytes cannot be a bundle, which has {_END.size} to {SIZE_LIMIT}")
        end = self._at(total - _END.size, _END.size)
        *_, count, size, directory, _ = _END.unpack(end)
        if end != _END.pack(_END_MARK, 0, 0, count, count, size, directory, 0):
            raise self._corrupt("does not end like a bundle, so it is truncated or something else")
        most = MEMBERS_LIMIT * (_CENTRAL.size + NAME_LIMIT)
        if count > MEMBERS_LIMIT or size > most or directory + size + _END.size != total:
            raise self._corrupt(f"its directory of {count} members in {size} bytes is impossible")
        yield from self._members(self._at(directory, size), count, directory)

    def _members(self, raw: bytes, count: int, end: int) -> Iterator[Member]:
        """Each member where the one before ends, the last one where the directory begins."""
        place = expected = 0
        for _ in range(count):
            member, place = self._member(raw, place)
            if member.offset != expected:
                raise self._corrupt(f"member {member.name} is not where the one before it ends")
            expected = member.end
            if expected > end:
                raise self._corrupt(f"member {member.name} reaches beyond the members")
            yield member
        if place != len(raw) or expected != end:
            raise self._corrupt("there is something between its last member and its directory, or in it")

    def _member(self, raw: bytes, place: int) -> tuple[Member, int]:
        """The member whose entry begins at `place`, and where the next one does."""
        header = raw[place : place + _CENTRAL.size]
        if len(header) < _CENTRAL.size:
            raise self._corrupt("its directory is truncated")
        values = _CENTRAL.unpack(header)
        end = place + _CENTRAL.size + values[10]
        name = raw[place + _CENTRAL.size : end].decode("ascii", "replace")
        if not is_name(name):
            raise self._corrupt(f"member {name[:NAME_LIMIT]!r} has a name that bundles refuse")
        member = Member(name, values[9], values[7], values[16])
        if raw[place:end] != member.central_header():
            raise self._corrupt(f"member {name} is {_oddity(values)}, which bundles refuse")
        return member, end

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a member, piece by piece; BundleCorrupt, at the latest in the end, when it was altered."""
        member = self.members[name]
        header = member.local_header()
        if self._at(member.offset, len(header)) != header:
            raise self._corrupt(f"member {name} is damaged: its header is not what the directory says")
        left, crc, place = member.size, 0, member.data
        while left:
            chunk = self._at(place, min(left, CHUNK))
            if not chunk:
                raise self._corrupt(f"member {name} is truncated")
            crc, left, place = zlib.crc32(chunk, crc), left - len(chunk), place + len(chunk)
            yield chunk
        if crc != member.crc:
            raise self._corrupt(f"member {name} is damaged: its CRC-32 differs")

    def read(self, name: str, limit: int) -> bytes:
        """The whole content of a member of at most `limit` bytes."""
        if name not in self.members:
            raise self._corrupt(f"member {name} is missing")
        if (size := self.members[name].size) > limit:
            raise self._corrupt(f"member {name} has {size} bytes, more than the {limit} it may have")
        return b"".join(self.chunks(name))


def _oddity(values: tuple[int, ...]) -> str:
    """What is unusual in an entry of the directory."""
    flags, method, packed, size, mode = values[3], values[4], values[8], values[9], values[15] >> 16
    if flags & 1:
        return "encrypted"
    if method or packed != size:
        return "compressed"
    if mode & 0o170000 not in (0, 0o100000):
        return "a link, folder or device"
    return "described by an unusual header"
