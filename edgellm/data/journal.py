"""A file of finished pieces of long work: one JSON line a piece, on disk before the next piece starts.

After `kill -9` or a power cut at most the piece under way is lost; a line cut in half is ignored and dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def key_of(**parts: object) -> str:
    """Short digest of what determines a piece of work."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


class Journal:
    """Pieces by key; `path` grows by one line a piece."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pieces: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read(path.read_bytes())

    def _read(self, raw: bytes) -> None:
        whole = raw[: raw.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                piece = json.loads(line)
                self.pieces[piece["key"]] = piece["value"]
            except (ValueError, KeyError, TypeError):
                continue  # damaged by a crash of the file system: made again
        if len(whole) < len(raw):
            os.truncate(self.path, len(whole))

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of `key` (JSON types); `make` computes it when it is not there yet."""
        if key not in self.pieces:
            self.pieces[key] = value = make()
            with self.path.open("a") as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return self.pieces[key]
