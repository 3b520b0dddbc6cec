"""The SQLite store: what it keeps, what it drops, and every way in which its file can be wrong."""

import asyncio
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap

import pytest

from edgellm.errors import StoreFailed
from edgellm.serve.cache.sqlite import OVERHEAD, SqliteStore
from edgellm.serve.cache.stores import Entry, Figures

MANY = Figures(1000, 1 << 30)
WEEK = 7 * 86_400.0


def entry(number, model="d1", size=100):
    return Entry(model, number.to_bytes(32, "big"), bytes([number % 256]) * size)


def using(path, act, most=MANY, keep=WEEK):
    """Run `act(store)` on a store, which is closed afterwards."""

    async def main():
        store = SqliteStore(path, most, keep)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(main())


async def get(store, number):
    return await store.get("d1", number.to_bytes(32, "big"))


async def there(store, numbers):
    return [number for number in numbers if await get(store, number) is not None]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "responses.sqlite"


def test_what_is_put_is_there_also_for_the_next_process(path):
    async def put(store):
        assert await get(store, 1) is None
        await store.put([entry(1), entry(2)])
        await store.put([Entry("d1", entry(2).key, b"new")])
        await store.drop("d1", entry(1).key)
        return await get(store, 1), await get(store, 2)

    assert using(path, put) == (None, b"new")
    assert using(path, lambda store: get(store, 2)) == b"new"


def test_it_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "here"))
    assert SqliteStore(None, MANY, WEEK).path == tmp_path / "here" / "responses.sqlite"


def test_only_its_owner_reads_the_file(path):
    using(path, lambda store: store.put([entry(1)]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_clear_all_or_one_model(path):
    async def main(store):
        await store.put([entry(1), entry(2), entry(3, "d2")])
        first = await store.clear("d1"), (await store.figures()).entries
        return first, await store.clear(), (await store.figures()).entries

    assert using(path, main) == ((2, 1), 1, 0)


def test_figures(path):
    async def main(store):
        empty = await store.figures()
        await store.put([entry(1, size=50), entry(2, size=70)])
        return empty, await store.figures()

    assert using(path, main) == (Figures(0, 0), Figures(2, 120 + 2 * OVERHEAD))


def test_too_many_entries_drop_the_least_recently_used(path):
    async def main(store):
        await store.put([entry(number) for number in range(10)])
        assert await get(store, 0)
        await store.put([entry(10)])
        return await there(store, range(11)), (await store.figures()).entries

    left, entries = using(path, main, Figures(10, 1 << 30))
    assert {0, 10} <= set(left)
    assert len(left) == entries == 9


def test_too_many_bytes_drop_the_least_recently_used(path):
    room = 10 * (100 + OVERHEAD)

    async def main(store):
        for number in range(30):
            await store.put([entry(number)])
        return await there(store, range(30)), await store.figures()

    left, figures = using(path, main, Figures(1000, room))
    assert left == list(range(30 - len(left), 30))
    assert 8 <= len(left) <= 10
    assert figures.bytes <= room


def test_use_is_remembered_when_the_store_is_closed(path):
    using(path, lambda store: store.put([entry(number) for number in range(10)]))
    using(path, lambda store: get(store, 3))

    async def main(store):
        await store.put([entry(10)])
        return await there(store, range(11))

    assert 3 in using(path, main, Figures(5, 1 << 30))


def test_what_nobody_wanted_for_long_goes(path):
    using(path, lambda store: store.put([entry(1), entry(2)]))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET used = used - 2000 WHERE key = ?", (entry(1).key,))
    database.close()

    async def main(store):
        await store.put([entry(3)])
        return await there(store, (1, 2, 3))

    assert using(path, main, keep=1000) == [2, 3]


def test_the_file_shrinks_when_it_is_cleared(path):
    async def main(store):
        await store.put([entry(number, size=20_000) for number in range(100)])
        await store.clear()

    using(path, main)
    assert path.stat().st_size < 200_000


def test_many_at_once(path):
    """A burst opens the file once, and reads while it is written."""

    async def main(store):
        await asyncio.gather(*(get(store, number) for number in range(50)))
        puts = [store.put([entry(number)]) for number in range(50)]
        drops = [store.drop("d1", entry(number).key) for number in range(0, 50, 7)]
        await asyncio.gather(*puts, *drops, *(get(store, number) for number in range(50)))
        return await there(store, range(50))

    left = using(path, main)
    assert set(range(50)) - set(range(0, 50, 7)) <= set(left)


def test_who_is_cancelled_while_the_file_is_opened_stops_nobody(path):
    async def main(store):
        first = asyncio.create_task(get(store, 1))
        await asyncio.sleep(0)
        second = asyncio.create_task(store.put([entry(1)]))
        first.cancel()
        await second
        return await get(store, 1)

    assert using(path, main) == entry(1).value


def test_two_processes_share_a_file(path):
    async def main():
        one, other = SqliteStore(path, MANY, WEEK), SqliteStore(path, MANY, WEEK)
        await one.figures()  # who comes second while the file is begun may have to come again
        try:
            puts = [[entry(2 * n + which)] for which in (0, 1) for n in range(20)]
            await asyncio.gather(*((one if n < 20 else other).put(what) for n, what in enumerate(puts)))
            return await there(one, range(40)), await there(other, range(40))
        finally:
            await one.close()
            await other.close()

    assert asyncio.run(main()) == (list(range(40)), list(range(40)))


@pytest.mark.parametrize("damage", ["text", "middle", "truncated"])
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(path, damage):
    using(path, lambda store: store.put([entry(number, size=3000) for number in range(50)]))
    raw = path.read_bytes()
    spoilt = {
        "text": b"no database at all\n" * 1000,
        "middle": raw[:4096] + b"\xff" * (len(raw) - 4096),
        "truncated": raw[: len(raw) // 2 + 77],
    }[damage]
    path.write_bytes(spoilt)

    async def main(store):
        with pytest.raises(
            StoreFailed, match=r"; it is now responses\.sqlite\.damaged, and a new one is begun$"
        ):
            for number in range(50):
                await get(store, number)
            await store.put([entry(99)])
        await store.put([entry(7)])
        return await get(store, 7), await get(store, 8)

    assert using(path, main) == (entry(7).value, None)
    assert path.with_name("responses.sqlite.damaged").read_bytes()[5000:8000] == spoilt[5000:8000]


def test_a_database_of_somebody_else_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreFailed,
        match=r"is a database, but not one of answers in this format \(application 0x0, version 0\): "
        r"delete it, or name another file in cache\.path$",
    ):
        using(path, lambda store: store.put([entry(1)]))
    assert path.read_bytes() == before


def test_a_lock_of_another_process_is_an_error_and_passes(path):
    using(path, lambda store: store.put([entry(1)]))
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")

    async def main(store):
        with pytest.raises(StoreFailed, match=r"database is locked$"):
            await store.put([entry(2)])
        locker.execute("COMMIT")
        locker.close()
        await store.put([entry(3)])
        return await there(store, (1, 2, 3))

    assert using(path, main) == [1, 3]


def test_a_place_that_is_no_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="file"):
        using(tmp_path / "file" / "x.sqlite", lambda store: get(store, 1))


def test_a_full_file_system_is_an_error_and_passes(path):
    """SQLite's own limit on pages stands for the disk's."""

    async def main(store):
        await store.put([entry(1)])
        _, writer = await store._connections()
        await writer.execute_fetchall("PRAGMA max_page_count = 30")
        with pytest.raises(StoreFailed, match=r"database or disk is full$"):
            await store.put([entry(number, size=4000) for number in range(2, 99)])
        await store.put([entry(100)])
        return await there(store, (1, 2, 50, 100))

    assert using(path, main) == [1, 100]


CHILD = """
    import asyncio, os, resource, sys
    from pathlib import Path
    from edgellm.errors import StoreFailed
    from edgellm.serve.cache.sqlite import SqliteStore
    from edgellm.serve.cache.stores import Entry, Figures

    def entry(number, size=2000):
        return Entry("d1", number.to_bytes(32, "big"), bytes([number % 256]) * size)

    store = SqliteStore(Path(sys.argv[1]), Figures(10_000, 1 << 30), 1e6)
"""


def child(path, program, **options):
    text = textwrap.dedent(CHILD) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", text, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_limit_on_the_size_of_files_is_an_error_like_a_full_disk(path):
    program = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    async def main():
        kept = 0
        try:
            for number in range(1000):
                await store.put([entry(number)])
                kept += 1
        except StoreFailed as error:
            print(kept, error)
        found = [n for n in range(kept) if await store.get("d1", entry(n).key) == entry(n).value]
        print(len(found) == kept > 10)
        await store.close()

    asyncio.run(main())
    """
    process = child(path, program)
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert re.search(r"^\d+ .*(disk I/O error|disk is full|too large)", out), out
    assert out.endswith("True\n")


def test_a_file_that_may_only_be_read_is_an_error(path):
    using(path, lambda store: store.put([entry(1)]))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    program = """
    if os.geteuid() == 0:  # whom no mode stops
        os.setgid(65534), os.setuid(65534)

    async def main():
        for action in (store.get("d1", entry(1).key), store.put([entry(2)])):
            try:
                await action
            except StoreFailed as error:
                print(error)
        await store.close()

    asyncio.run(main())
    """
    for folder in path.parents:  # so that nobody may come here
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    try:
        out, err = child(path, program).communicate(timeout=60)
    finally:
        path.parent.chmod(0o755)
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 2
    assert all("Permission denied" in line or "readonly" in line for line in lines), out


def test_a_process_that_ends_without_closing_does_not_hang(path):
    program = """
    async def main():
        await store.put([entry(1)])
        raise SystemExit(3)

    asyncio.run(main())
    """
    process = child(path, program)
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert using(path, lambda store: get(store, 1))


def test_a_process_killed_while_it_writes_leaves_a_sound_file(path):
    program = """
    async def main():
        for first in range(0, 1_000_000, 50):
            await store.put([entry(number, 500) for number in range(first, first + 50)])
            print(first + 50, flush=True)

    asyncio.run(main())
    """
    for _ in range(3):
        process = child(path, program)
        try:
            written = [int(process.stdout.readline()) for _ in range(6)][-1]
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()

        async def main(store, written=written):
            return await there(store, range(written)), (await store.figures()).entries

        found, entries = using(path, main)
        assert found == list(range(written))
        assert entries >= written
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
