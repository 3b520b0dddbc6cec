"""Lines of a text file of unknown origin: bounded in size, UTF-8 or refused, gzip by its suffix.

Nothing is read whole: memory holds one line. Only regular files are opened, so a recipe cannot hang on a pipe or a device.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgellm.errors import TrainingError

MOST_BYTES = 1 << 30  # of text in one file, decompressed
MOST_LINE = 1 << 22  # bytes of one line or document
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; `text` is None when it cannot be used and `problem` says why."""

    number: int  # from 1
    text: str | None
    problem: str = ""


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file; `.gz` is decompressed on the way.

    Raises: TrainingError when it is no regular file, is not gzip although its name says so, or holds more than `MOST_BYTES`.
    """
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "no such corpus file"
        raise TrainingError(f"{path}: {what}: corpus paths are relative to the recipe")
    with _open(path) as file:
        try:
            yield from _lines(file, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise TrainingError(f"{path}: damaged gzip file ({error}): make it again") from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(file: IO[bytes], path: Path) -> Iterator[Line]:
    number = size = 0
    while raw := file.readline(MOST_LINE + 2):
        number += 1
        size += len(raw)
        line = _line(number, raw.removeprefix(BOM) if number == 1 else raw)
        while not raw.endswith(b"\n") and (
            raw := file.readline(MOST_LINE)
        ):  # the rest of a line that is too long
            size += len(raw)
            _check_size(size, path)
        _check_size(size, path)
        yield line


def _check_size(size: int, path: Path) -> None:
    if size > MOST_BYTES:
        raise TrainingError(f"{path}: more than {MOST_BYTES >> 20} MiB of text: train on a part of it")


def _line(number: int, raw: bytes) -> Line:
    body = raw.rstrip(b"\r\n")
    if len(body) > MOST_LINE:
        return Line(number, None, f"longer than {MOST_LINE >> 20} MiB: split it")
    try:
        return Line(number, body.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = body[error.start]
        return Line(
            number,
            None,
            f"not UTF-8: byte 0x{byte:02x} at column {error.start + 1}: convert the file to UTF-8",
        )
