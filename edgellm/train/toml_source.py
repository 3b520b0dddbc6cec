"""TOML with places: errors name the file, the line of the key, and the field."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from edgellm.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")


class TomlSource:
    """A TOML file as `table`, and where each of its keys is written.

    Raises: ConfigError when the file is missing, not UTF-8 or not TOML; the last says line and column.
    """

    def __init__(self, path: Path, hint: str) -> None:
        self.path = path
        try:
            text = path.read_text("utf-8")
            self.table: dict[str, Any] = tomllib.loads(text)
        except (FileNotFoundError, IsADirectoryError):
            raise ConfigError(f"{path}: no such {hint}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
        self._lines = _lines_of(text)

    def line(self, field: str) -> int | None:
        """The line of `a.b.c`, else of the table that should hold it, counted from 1."""
        while field:
            if field in self._lines:
                return self._lines[field]
            field = field.rpartition(".")[0]
        return None

    def error(self, field: str, problem: str) -> ConfigError:
        """The error to raise about `field`: `file:line: field problem`."""
        line = self.line(field)
        where = f"{self.path}:{line}" if line else str(self.path)
        return ConfigError(f"{where}: {field} {problem}")


def _lines_of(text: str) -> dict[str, int]:
    """Dotted name of every key and table -> its first line."""
    places: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _plain(header[1]) + "."
            places.setdefault(table[:-1], number)
        elif key := _KEY.match(line):
            places.setdefault(table + _plain(key[1]), number)
    return places


def _plain(key: str) -> str:
    """`a . "b"` -> `a.b`."""
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
