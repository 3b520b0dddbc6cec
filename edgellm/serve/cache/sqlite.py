"""Answers in an SQLite file. Its two connections have threads of their own, so that reading never waits for writing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path

import aiosqlite

from edgellm import cache
from edgellm.errors import StoreFailed
from edgellm.serve.cache.stores import Entry, Figures

FILE = "responses.sqlite"  # in the user's cache folder
ASIDE = ".damaged"  # behind the name of a file that is put aside
APPLICATION, VERSION = (
    0x65646765,
    1,
)  # "edge": written into the file, so that no other file is taken for one of ours
READ_SECONDS, WRITE_SECONDS = 0.05, 1.0  # to wait for a lock that another process holds
LEFT = 0.9  # of a limit, when something has to go
OVERHEAD = 200  # bytes of the file that an answer takes besides its value, about
JOURNAL_BYTES = 4 << 20
PAGES_BACK = 2_000  # that a clean-up gives back to the file system
DAMAGED = ("file is not a database", "malformed", "file is encrypted")
TABLE = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, model TEXT NOT NULL, value BLOB NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON answers (used, size);
COMMIT"""
PUT = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)"
TOUCH = "UPDATE answers SET used = ? WHERE key = ?"
CLEAR = "DELETE FROM answers WHERE ? IS NULL OR model = ?"
FIGURES = "SELECT count(*), coalesce(sum(size), 0) FROM answers"
# of the ones used last, all that fit into both limits stay
EVICT = """
DELETE FROM answers WHERE key IN (
    SELECT key FROM (
        SELECT key, row_number() OVER latest AS place, sum(size) OVER latest AS held FROM answers
        WINDOW latest AS (ORDER BY used DESC, key ROWS UNBOUNDED PRECEDING)
    ) WHERE place > ? OR held > ?
)"""

Pair = tuple[aiosqlite.Connection, aiosqlite.Connection]  # who reads, who writes


class SqliteStore:
    """See `stores.Store`. Other processes may use the same file.

    A damaged file is put aside and a new one begun. The least recently used answers go when there are too many or they
    take too much.
    """

    name = "sqlite"

    def __init__(self, path: Path | None, most: Figures, keep: float) -> None:
        """`path` None: in the user's cache folder. `keep`: seconds after which an answer that nobody wanted goes."""
        self.path, self._most, self._keep = path or cache.root() / FILE, most, keep
        self._pair: Pair | None = None
        self._opening: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()  # one transaction at a time
        self._used: dict[bytes, float] = {}  # since the last time something was written
        self._held: Figures | None = None  # as far as this process knows

    async def get(self, model: str, key: bytes) -> bytes | None:
        """The value."""
        async with self._failing():
            reader, _ = await self._connections()
            rows = list(await reader.execute_fetchall("SELECT value FROM answers WHERE key = ?", (key,)))
        if not rows:
            return None
        self._used[key] = time.time()
        return bytes(rows[0][0])

    async def put(self, entries: Sequence[Entry]) -> None:
        """Keep values, all of them or none."""
        now, used = time.time(), self._used
        rows = [(key, model, value, len(value) + OVERHEAD, now) for model, key, value in entries]
        async with self._writing, self._failing():
            _, writer = await self._connections()
            self._used = {}
            await writer.execute("BEGIN IMMEDIATE")
            await writer.executemany(TOUCH, [(when, key) for key, when in used.items()])
            await writer.executemany(PUT, rows)
            await writer.commit()
            await self._evict(writer, Figures(len(rows), sum(row[3] for row in rows)))

    async def drop(self, model: str, key: bytes) -> None:
        """Forget a value."""
        async with self._writing, self._failing():
            _, writer = await self._connections()
            await writer.execute("DELETE FROM answers WHERE key = ?", (key,))

    async def clear(self, model: str | None = None) -> int:
        """Forget all values, or those of one model."""
        async with self._writing, self._failing():
            _, writer = await self._connections()
            cursor = await writer.execute(CLEAR, (model, model))
            await self._tidy(writer)
        return cursor.rowcount

    async def figures(self) -> Figures:
        """What there is, about: what is replaced counts twice until the next clean-up."""
        async with self._failing():
            reader, _ = await self._connections()
            if self._held is None:
                self._held = await _figures(reader)
        return self._held

    async def close(self) -> None:
        """Write down what was used, close the file."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._pair is not None and self._used:
            with contextlib.suppress(StoreFailed):
                await self.put([])
        await self._shut()

    async def _evict(self, writer: aiosqlite.Connection, added: Figures) -> None:
        """Remove what is too old or too much; first what was added is only counted, since counting all takes a while."""
        most, held = self._most, self._held
        if held is not None:
            held = self._held = Figures(held.entries + added.entries, held.bytes + added.bytes)
            if held.entries <= most.entries and held.bytes <= most.bytes:
                return
        await writer.execute("DELETE FROM answers WHERE used < ?", (time.time() - self._keep,))
        held = await _figures(writer)
        if held.entries > most.entries or held.bytes > most.bytes:
            await writer.execute(EVICT, (int(LEFT * most.entries), int(LEFT * most.bytes)))
        await self._tidy(writer)

    async def _tidy(self, writer: aiosqlite.Connection) -> None:
        await writer.executescript(f"PRAGMA incremental_vacuum({PAGES_BACK})")
        self._held = await _figures(writer)

    async def _connections(self) -> Pair:
        """Reader and writer of a file that is ours. Who is cancelled here does not stop the opening for the others."""
        if self._pair is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_seen)
            await asyncio.shield(self._opening)
        return self._pair or await self._connections()

    async def _open(self) -> None:
        opened: list[aiosqlite.Connection] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # answers are nobody else's business
            opened.append(await _connected(self.path, WRITE_SECONDS))
            await self._found(opened[0])
            opened.append(await _connected(self.path, READ_SECONDS))
            await _figures(opened[1])
        except BaseException:
            await _close(opened)
            raise
        finally:
            self._opening = None
        self._pair, self._held = (opened[1], opened[0]), None

    async def _found(self, writer: aiosqlite.Connection) -> None:
        """Make the tables, unless they are there. Raises: StoreFailed for a file of somebody else."""
        application, version = (
            await _number(writer, "PRAGMA application_id"),
            await _number(writer, "PRAGMA user_version"),
        )
        tables = await _number(writer, "SELECT count(*) FROM sqlite_master")
        if tables and (application, version) != (APPLICATION, VERSION):
            raise StoreFailed(
                f"{self.path} is a database, but not one of answers in this format (application {application:#x}, "
                f"version {version}): delete it, or name another file in cache.path"
            )
        await writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
        await writer.execute_fetchall("PRAGMA journal_mode = WAL")
        await writer.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a power cut loses the last answers, never the file
        await writer.execute_fetchall(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        if not tables:
            await writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            await writer.execute_fetchall("PRAGMA journal_mode = WAL")
            await writer.executescript(TABLE)

    @contextlib.asynccontextmanager
    async def _failing(self) -> AsyncGenerator[None, None]:
        """What goes wrong becomes StoreFailed, and the file is opened again the next time."""
        try:
            yield
        except StoreFailed:
            await self._shut()
            raise
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: of a connection closed meanwhile
            await self._shut()
            raise StoreFailed(f"{self.path}: {error}{self._aside(error)}") from error

    def _aside(self, error: Exception) -> str:
        """Put a damaged file aside, and say so."""
        if not isinstance(error, sqlite3.DatabaseError) or not any(word in str(error) for word in DAMAGED):
            return ""
        aside = self.path.with_name(self.path.name + ASIDE)
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
            for tail in ("-wal", "-shm"):
                self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        return f"; it is now {aside.name}, and a new one is begun"

    async def _shut(self) -> None:
        pair, self._pair = self._pair, None
        await _close(pair or ())


def _seen(opening: asyncio.Task[None]) -> None:
    """An error that everybody stopped waiting for is no news."""
    if not opening.cancelled():
        opening.exception()


async def _connected(path: Path, seconds: float) -> aiosqlite.Connection:
    """A connection that waits so long for a lock."""
    connection = aiosqlite.connect(path, timeout=seconds, isolation_level=None)
    connection._thread.daemon = True  # a process that ends without closing it does not hang
    return await connection


async def _close(connections: Iterable[aiosqlite.Connection]) -> None:
    for connection in connections:
        with contextlib.suppress(sqlite3.Error, OSError, ValueError):
            await connection.close()


async def _number(connection: aiosqlite.Connection, question: str) -> int:
    ((value,),) = await connection.execute_fetchall(question)
    return int(value)


async def _figures(connection: aiosqlite.Connection) -> Figures:
    ((entries, size),) = await connection.execute_fetchall(FIGURES)
    return Figures(entries, size)
