"""Files that are never half-written, and checksums."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgellm.errors import UsageError

CHUNK = 1 << 20


@contextlib.contextmanager
def new_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Yield a temporary file beside `path`; it replaces `path` when the block ends, and vanishes when it raises.

    A reader sees the old file or the whole new one, also after a power cut. At no time is it open to more than `mode` says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data`, as `new_file` does."""
    with new_file(path, mode) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_directory(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it becomes `path` when the block ends, and vanishes when it raises.

    With `replace` an existing directory is swapped out at the very end; without, it is an error.
    """
    if path.exists() and not replace:
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield work
        work.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            os.replace(path, old / "was")
            os.replace(work, path)
            shutil.rmtree(old)
        else:
            os.replace(work, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_replaceable(folder: Path, mark: str, kind: str) -> None:
    """Raise UsageError unless `folder` is missing, empty, or an earlier `kind`, as a file `mark` in it says."""
    if os.path.lexists(folder) and not (folder / mark).is_file() and not _is_empty(folder):
        raise UsageError(f"{folder} is neither empty nor {kind}: name another folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} holds the current folder, so it cannot be replaced: name another folder")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
