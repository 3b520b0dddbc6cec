"""The build cache: atomic, locked, bounded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgellm import cache

HOUR = 3600.0


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    return tmp_path


def fill(size: int = 10) -> object:
    return lambda work: (work / "file").write_bytes(bytes(size))


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_builds_once(place: Path) -> None:
    calls = []

    def build(work: Path) -> None:
        calls.append(work)
        (work / "file").write_text("x")

    first = cache.fetch("kind", "key", build)
    assert cache.fetch("kind", "key", build) == first == place / "kind" / "key"
    assert (first / "file").read_text() == "x"
    assert len(calls) == 1
    assert [path.name for path in (place / "kind").iterdir()] == ["key"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_build_leaves_nothing(place: Path, error: type[BaseException]) -> None:
    def build(work: Path) -> None:
        (work / "half").write_text("x")
        raise error

    with pytest.raises(error):
        cache.fetch("kind", "key", build)
    assert list((place / "kind").iterdir()) == []
    assert cache.fetch("kind", "key", fill()).is_dir()


def test_two_builders_of_one_entry_build_it_once() -> None:
    calls, gate = [], threading.Barrier(4)

    def build(work: Path) -> None:
        calls.append(work)
        time.sleep(0.1)

    def want() -> None:
        gate.wait()
        cache.fetch("kind", "key", build)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_the_lock_of_a_killed_builder_is_free() -> None:
    code = (
        "import os; from edgellm import cache\n"
        "cache.fetch('kind', 'key', lambda work: os.kill(os.getpid(), 9))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert cache.fetch("kind", "key", fill()).is_dir()


def test_entries_are_listed_by_last_use(place: Path) -> None:
    for number, name in enumerate(("old", "new")):
        age(cache.fetch("kind", name, fill(100)), (2 - number) * HOUR)
    listed = cache.entries()
    assert [(entry.kind, entry.key, entry.size) for entry in listed] == [
        ("kind", "new", 100),
        ("kind", "old", 100),
    ]
    cache.fetch("kind", "old", fill())
    assert [entry.key for entry in cache.entries()] == ["old", "new"]


def test_the_least_recently_used_entries_go_first() -> None:
    for number in range(4):
        age(cache.fetch("kind", str(number), fill(100)), (4 - number) * HOUR)
    assert cache.evict(250) == 200
    assert [entry.key for entry in cache.entries()] == ["3", "2"]


def test_fetch_keeps_the_limit_but_not_at_the_cost_of_what_is_in_use() -> None:
    age(cache.fetch("kind", "old", fill(100)), HOUR)
    cache.fetch("kind", "recent", fill(100))
    cache.fetch("kind", "now", fill(100), limit=50)
    assert sorted(entry.key for entry in cache.entries()) == ["now", "recent"]


class Owner:
    """Whoever has an entry open."""


@pytest.mark.parametrize("inside", ["", "design/model"])
def test_an_entry_that_is_held_is_left_alone(inside: str) -> None:
    held, free = (cache.fetch("kind", name, fill(100)) for name in ("held", "free"))
    age(held, HOUR)
    age(free, HOUR)
    owner = Owner()
    cache.hold(held / inside, owner)
    assert (cache.evict(0), cache.clear()) == (100, 0)
    assert [entry.key for entry in cache.entries()] == ["held"]
    del owner
    assert cache.evict(0) == 100
    assert cache.entries() == []


def test_a_hold_ends_when_it_is_told_to() -> None:
    owner, entry = Owner(), cache.fetch("kind", "key", fill(100))
    first, second = cache.hold(entry, owner), cache.hold(entry, owner)
    first()
    first()
    assert cache.clear() == 0
    second()
    assert cache.clear() == 100


def test_what_lies_elsewhere_is_not_held(place: Path) -> None:
    owner = Owner()
    for path in (place.parent, place, place / "kind", Path("relative")):
        cache.hold(path, owner)()
    assert list(place.iterdir()) == []


def test_an_entry_in_use_by_another_process() -> None:
    """It stays until that process ends, however it ends."""
    age(cache.fetch("kind", "key", fill(100)), HOUR)
    code = (
        "from edgellm import cache; owner = type('Owner', (), {})()\n"
        "cache.hold(cache.root() / 'kind' / 'key' / 'file', owner); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert cache.evict(0) == 0
        other.kill()
        other.wait()
    assert cache.evict(0) == 100


def test_a_held_entry_that_was_deleted_by_hand_can_be_built_again() -> None:
    owner, entry = Owner(), cache.fetch("kind", "key", fill(100))
    cache.hold(entry, owner)
    shutil.rmtree(entry)
    assert (cache.fetch("kind", "key", fill(100)) / "file").is_file()
    assert cache.clear() == 0


def test_an_entry_used_since_it_was_listed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may fetch it just then, and open it a moment later."""
    age(cache.fetch("kind", "key", fill(100)), HOUR)
    listed = cache.entries()
    monkeypatch.setattr(cache, "entries", lambda: listed)
    cache.fetch("kind", "key", fill())
    assert cache.evict(0) == 0
    assert listed[0].path.is_dir()


def test_using_an_entry_for_a_moment() -> None:
    entry = cache.fetch("kind", "key", fill(100))
    with cache.using(entry):
        assert cache.clear() == 0
    assert cache.clear() == 100


def test_clear(place: Path) -> None:
    cache.fetch("kind", "key", fill(7))
    cache.fetch("other", "key", fill(5))
    left = place / "kind" / ".new-crashed"
    left.mkdir()
    age(left, HOUR)
    assert cache.clear("kind") == 7
    assert not left.exists()
    assert [entry.kind for entry in cache.entries()] == ["other"]
    assert cache.clear() == 5
    assert cache.entries() == []
