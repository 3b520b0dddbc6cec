"""Things that take long to build, kept by content: compiled simulators and what they are made of.

An entry is a directory `<root>/<kind>/<key>`. It appears at once (built in a temporary sibling, then
renamed), is built by one process at a time, and the least recently used entries go when the cache exceeds its
size limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 2 << 30
GRACE_SECONDS = 600.0  # an entry used this recently may be about to be opened: never evicted
ROOT_VARIABLE = "EDGELLM_CACHE"
_LOCKS = ".locks"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached directory."""

    kind: str
    key: str
    path: Path
    size: int  # bytes
    used: float  # seconds since the epoch


def root() -> Path:
    """Directory of the cache: $EDGELLM_CACHE, or the platform's user cache directory."""
    if place := os.environ.get(ROOT_VARIABLE):
        return Path(place)
    import platformdirs

    return Path(platformdirs.user_cache_dir("edgellm"))


@contextlib.contextmanager
def _locked(kind: str, key: str) -> Iterator[None]:
    """Hold the lock of one entry; it vanishes with the process, so a crash leaves none behind."""
    folder = root() / _LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{kind}-{key}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch(kind: str, key: str, build: Callable[[Path], None], limit: int = LIMIT_BYTES) -> Path:
    """Directory of entry `key`; when it is missing, `build` fills an empty directory that becomes it.

    Safe against other processes that want the same entry. Whatever `build` raises leaves no trace.
    """
    place = root() / kind / key
    if _touch(place):
        return place
    with _locked(kind, key):
        if _touch(place):
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
        try:
            build(work)
            work.chmod(0o755)
            os.replace(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    evict(limit)
    return place


def holds(kind: str, key: str) -> bool:
    """Whether an entry is there, without using it."""
    return (root() / kind / key).is_dir()


def _touch(place: Path) -> bool:
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


def entries() -> list[Entry]:
    """Every entry, most recently used first."""
    found = []
    for path in root().glob("*/*"):
        if path.name.startswith(".") or path.parent.name == _LOCKS:
            continue
        with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            found.append(Entry(path.parent.name, path.name, path, size, path.stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def evict(limit: int = LIMIT_BYTES) -> int:
    """Remove the least recently used entries until the cache holds at most `limit` bytes; bytes freed."""
    total, freed, recent = 0, 0, time.time() - GRACE_SECONDS
    for entry in entries():
        total += entry.size
        if total > limit and entry.used < recent:
            freed += _remove(entry)
    return freed


def clear(kind: str | None = None) -> int:
    """Remove every entry, or those of one kind, and what crashed builders left; bytes freed."""
    freed = sum(_remove(entry) for entry in entries() if kind in (None, entry.kind))
    for path in root().glob(f"{kind or '*'}/.new-*"):
        if path.stat().st_mtime < time.time() - GRACE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
    return freed


def _remove(entry: Entry) -> int:
    """Rename first: a reader never sees a half-deleted entry."""
    doomed = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.path.parent))
    with contextlib.suppress(FileNotFoundError):
        os.replace(entry.path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    return entry.size
