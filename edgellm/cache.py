"""Things that take long to build, kept by content: compiled simulators and what they are made of.

An entry is a directory `<root>/<kind>/<key>`. It appears at once (built in a temporary sibling, then
renamed), is built by one process at a time, and the least recently used entries go when the cache exceeds its
size limit: never one that a living process holds, or that was fetched a moment ago.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 2 << 30
GRACE_SECONDS = 600.0  # an entry used this recently may be about to be held: never evicted
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


def _open_use(place: Path) -> int:
    """Descriptor of the file whose lock says that entry `place` is in use: shared by users, exclusive to remove it."""
    folder = root() / _LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / f"{place.parent.name}-{place.name}.use", os.O_RDWR | os.O_CREAT, 0o644)


def hold(path: Path, owner: object) -> Callable[[], object]:
    """Keep the entry that `path` lies in, if in any, as long as `owner` lives, or until the result is called."""
    inner = Path(os.path.relpath(path.resolve(), root().resolve())).parts
    if len(inner) < 2 or inner[0] == os.pardir:
        return lambda: None
    use = _open_use(root() / inner[0] / inner[1])
    fcntl.flock(use, fcntl.LOCK_SH)
    return weakref.finalize(owner, os.close, use)


@contextlib.contextmanager
def using(place: Path) -> Iterator[None]:
    """Keep entry `place` for the length of the block."""
    use = _open_use(place)
    try:
        fcntl.flock(use, fcntl.LOCK_SH)
        yield
    finally:
        os.close(use)


def fetch(kind: str, key: str, build: Callable[[Path], None], limit: int = LIMIT_BYTES) -> Path:
    """Directory of entry `key`; when it is missing, `build` fills an empty directory that becomes it.

    Safe against other processes that want the same entry. Whatever `build` raises leaves no trace.
    """
    place = root() / kind / key
    if touch(place):
        return place
    with _locked(kind, key):
        if touch(place):
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


def touch(place: Path) -> bool:
    """Whether entry `place` is there; as one just used, it is not removed for a while."""
    with using(place):
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
            freed += _remove(entry, recent)
    return freed


def clear(kind: str | None = None) -> int:
    """Remove every entry that is not held, or those of one kind, and what crashed builders left; bytes freed."""
    freed = sum(_remove(entry) for entry in entries() if kind in (None, entry.kind))
    for path in root().glob(f"{kind or '*'}/.new-*"):
        if path.stat().st_mtime < time.time() - GRACE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
    return freed


def _remove(entry: Entry, recent: float = math.inf) -> int:
    """Remove an entry, unless it is held or was used since `recent`; bytes freed.

    Renamed first: a reader never sees a half-deleted entry.
    """
    doomed = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.path.parent))
    use = _open_use(entry.path)
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if entry.path.stat().st_mtime >= recent:
            return 0
        os.replace(entry.path, doomed)
    except (BlockingIOError, FileNotFoundError):  # held, or removed by another process meanwhile
        return 0
    finally:
        os.close(use)
        shutil.rmtree(doomed, ignore_errors=True)
    return entry.size
