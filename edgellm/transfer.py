"""A file over HTTP, whose content is known by its checksum: goes on where it stopped, also in another process."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from edgellm import files, progress
from edgellm._version import __version__
from edgellm.errors import DownloadFailed

SCHEMES = ("http://", "https://")
ATTEMPTS, PAUSE_SECONDS = 5, 1.0  # without a new byte; the pause doubles
SILENCE_SECONDS = 30.0
_AGAIN = (408, 425, 429)  # and 5xx: the server may do better in a moment


def fetch(address: str, part: Path, size: int, sha256: str) -> None:
    """Complete the file `part`, which may hold the beginning of an earlier call, to `size` bytes with this checksum.

    Raises DownloadFailed. What arrived stays in `part` for the next call, unless it is wrong; OSError for the disk.
    """
    if not address.startswith(SCHEMES):
        raise DownloadFailed(
            f"{address}: not an address that can be fetched: it begins with {' or '.join(SCHEMES)}"
        )
    resumed = _length(part) > 0
    with progress.track(f"Fetching {address.rpartition('/')[2]}", size, done=_length(part)) as bar:
        _complete(address, part, size, bar.advance)
        if files.sha256(part) != sha256 and resumed:  # the beginning was of something else
            part.unlink()
            _complete(address, part, size, bar.advance)
    if (found := files.sha256(part)) != sha256:
        part.unlink()
        raise DownloadFailed(
            f"{address}: SHA-256 {found[:16]}..., expected {sha256[:16]}...: the server has another file; nothing of it is kept"
        )


def _complete(address: str, part: Path, size: int, advance: Callable[[float], None]) -> None:
    """Try until everything is there, or nothing more comes."""
    left, best = ATTEMPTS, 0
    while _length(part) != size:
        reason = _try(address, part, size, advance)
        if _length(part) > best:
            left, best = ATTEMPTS, _length(part)
            continue
        left -= 1
        if not left:
            raise DownloadFailed(
                f"{address}: {reason}; {_length(part):,} of {size:,} bytes are here: run the command again to go on"
            )
        time.sleep(PAUSE_SECONDS * 2 ** (ATTEMPTS - left - 1))


def _try(address: str, part: Path, size: int, advance: Callable[[float], None]) -> str:
    """One connection; why it ended."""
    try:
        _receive(address, part, size, advance)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.unlink(missing_ok=True)
        elif error.code < 500 and error.code not in _AGAIN:
            raise DownloadFailed(f"{address}: the server says {error.code} {error.reason}") from None
        return f"the server says {error.code} {error.reason}"
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        return f"no connection ({getattr(error, 'reason', error)})"
    return "the connection broke off"


def _receive(address: str, part: Path, size: int, advance: Callable[[float], None]) -> None:
    have = _length(part)
    if have > size:
        part.unlink()
        have = 0
    headers = {"User-Agent": f"edgellm/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as answer:
        start = _start(answer, address, have, size)
        with part.open("r+b" if have else "wb") as file:
            file.truncate(start)
            file.seek(start)
            while start < size and (chunk := answer.read1(min(files.CHUNK, size - start))):
                file.write(chunk)
                start += len(chunk)
                advance(len(chunk))


def _start(answer: http.client.HTTPResponse, address: str, have: int, size: int) -> int:
    """Where the answer begins: where it was asked to, or at 0 when the server knows no ranges."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    start = int(match[1]) if answer.status == 206 and match else 0
    total = match[2] if answer.status == 206 and match else answer.headers.get("Content-Length", "")
    if start > have:
        raise DownloadFailed(
            f"{address}: the server gives bytes from {start} on, asked for those from {have} on"
        )
    if total.isdigit() and int(total) != size:
        raise DownloadFailed(
            f"{address}: {int(total):,} bytes, expected {size:,}: the server has another file"
        )
    return start


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
