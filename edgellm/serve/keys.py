"""API keys: how they look, and the file that holds their hashes.

A key is `elm_`, 8 hexadecimal digits that find it in the file, `_`, and 192 random bits. The file holds argon2 hashes, so that
who reads it can use none of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import argon2
import platformdirs

from edgellm import files
from edgellm.errors import ConfigError, UsageError
from edgellm.fields import Fields, parse

FORM = re.compile(r"elm_([0-9a-f]{8})_[0-9a-f]{48}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = 1
OWNER_ONLY = 0o600
# a key has 192 random bits: the hash need not make guessing slow, and a board has little memory
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True)
class Key:
    """One key, as the file knows it."""

    name: str
    id: str  # the 8 digits
    hash: str  # argon2id, encoded
    created: str  # date
    limit: int | None = None  # requests a minute
    admin: bool = False


def default_file() -> Path:
    """In the user's configuration folder."""
    return Path(platformdirs.user_config_dir("edgellm")) / "keys.json"


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file. Raises: ConfigError for a file that cannot be read, is open to others or has a wrong field."""
    try:
        raw, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"keys file {path}: {error.strerror}: make it with `edgellm keys add NAME`"
        ) from error
    if mode & 0o077:
        raise ConfigError(
            f"keys file {path} has mode {mode & 0o777:04o}, so that others may use it: chmod 600 {path}"
        )
    table = parse(raw, path, ConfigError, "restore it, or make new keys with `edgellm keys add NAME`")
    if table.get("version", int) != VERSION:
        raise ConfigError(
            f"{path}: field version is {table.get('version', int)}: this edgellm knows {VERSION}"
        )
    found = tuple(_key(Fields(entry, path, ConfigError, "keys.")) for entry in table.list_of("keys", dict))
    for what, values in (("name", [key.name for key in found]), ("id", [key.id for key in found])):
        if twice := [value for value in values if values.count(value) > 1]:
            raise ConfigError(f"{path}: two keys have the {what} {twice[0]!r}")
    return found


def _key(entry: Fields) -> Key:
    entry.only("name", "id", "hash", "created", "limit", "admin")
    limit = None if entry.data.get("limit") is None else entry.get("limit", int)
    name, id_, hashed, created = (entry.get(field, str) for field in ("name", "id", "hash", "created"))
    try:
        argon2.extract_parameters(hashed)
    except argon2.exceptions.InvalidHashError:
        raise ConfigError(
            f"{entry.path}: the hash of key {name!r} is none of argon2: make the key anew"
        ) from None
    if limit is not None and limit < 1:
        raise ConfigError(f"{entry.path}: the limit of key {name!r} is {limit}: must be at least 1, or null")
    return Key(name, id_, hashed, created, limit, entry.get("admin", bool))


def add(path: Path, name: str, limit: int | None = None, admin: bool = False) -> str:
    """Make a key; it is nowhere but in what is returned. Raises: UsageError, ConfigError."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a key: 1 to 64 letters, digits, '.', '_', '-'")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: must be at least 1 request a minute")
    made = f"elm_{secrets.token_hex(4)}_{secrets.token_hex(24)}"
    today = datetime.now(timezone.utc).date().isoformat()
    with _changing(path):
        known = read(path) if path.exists() else ()
        if any(key.name == name for key in known):
            raise UsageError(f"{path} has a key named {name!r}: remove it first, or choose another name")
        _write(path, [*known, Key(name, made[4:12], HASHER.hash(made), today, limit, admin)])
    return made


def remove(path: Path, name: str) -> None:
    """Forget a key. Raises: UsageError for a name that is not there, ConfigError."""
    with _changing(path):
        known = read(path)
        left = [key for key in known if key.name != name]
        if len(left) == len(known):
            names = ", ".join(key.name for key in known) or "none"
            raise UsageError(f"{path} has no key named {name!r}: it has {names}")
        _write(path, left)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One process at a time: what two add is there in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, known: Sequence[Key]) -> None:
    table = {"version": VERSION, "keys": [asdict(key) for key in known]}
    files.write_bytes(path, (json.dumps(table, indent=2) + "\n").encode(), OWNER_ONLY)
