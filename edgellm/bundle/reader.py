"""Opening a bundle: everything is checked, nothing is executed, and nothing is written outside the folder asked for."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from edgellm import cache, files
from edgellm.bundle import manifest, signature
from edgellm.bundle.archive import Archive
from edgellm.bundle.manifest import AGAIN, FILE, SIGNATURE, Manifest
from edgellm.errors import BundleCorrupt, BundleError, ModelNotFound, UsageError

SUFFIX = ".edgellm"
MODEL, MODEL_FILE = "model", "model/model.onnx"
KEY_VARIABLE = "EDGELLM_PUBLIC_KEY"  # every bundle must be signed by this key
_KIND = "bundle"  # of cache entries


@contextlib.contextmanager
def room(place: Path, way_out: str) -> Iterator[None]:
    """A full disk as an error that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise BundleError(f"{place}: the disk is too full for the bundle: free some, or {way_out}") from error


class Bundle:
    """A checked bundle, open for reading; a context manager.

    `signer` is the public key that the signature names (hex) or None; `trusted`, that the signature was verified.
    """

    def __init__(self, file: BinaryIO, path: Path, key: Path | None) -> None:
        self._file, self.path = file, path
        self._archive = archive = Archive(file, path)
        self._raw = archive.read(FILE, manifest.BYTES_LIMIT)
        self.manifest: Manifest = manifest.parse(self._raw, path)
        signed = archive.read(SIGNATURE, signature.BYTES_LIMIT) if SIGNATURE in archive.members else None
        self.signer = signature.parse(signed, path)[0].hex() if signed is not None else None
        self.trusted = key is not None
        if key is not None:
            signature.verify(self._raw, signed, key, path)
        self._check_members()
        for name in self.manifest.members:
            for _ in self._checked(name):
                pass

    @property
    def digest(self) -> str:
        """SHA-256 of bundle.json, which names the content of every member."""
        return hashlib.sha256(self._raw).hexdigest()

    def _check_members(self) -> None:
        """The archive has what the manifest names, in the one order, and nothing else."""
        described = self.manifest.members
        there = list(self._archive.members)
        head = [FILE, SIGNATURE] if self.signer else [FILE]
        if missing := sorted(set(described) - set(there)):
            raise BundleCorrupt(f"{self.path}: member {missing[0]} is missing: {AGAIN}")
        if extra := [name for name in there if name not in described and name not in head]:
            raise BundleCorrupt(f"{self.path}: member {extra[0]} is not in the manifest: {AGAIN}")
        if there != head + sorted(described):
            raise BundleCorrupt(f"{self.path}: its members are out of order: {AGAIN}")
        for name, entry in described.items():
            if (size := self._archive.members[name].size) != entry.size:
                raise BundleCorrupt(
                    f"{self.path}: member {name} has {size} bytes instead of {entry.size}: {AGAIN}"
                )
        entry_of_model = described.get(MODEL_FILE)
        if entry_of_model is None or entry_of_model.sha256 != self.manifest.model.sha256:
            raise BundleCorrupt(
                f"{self.path}: {MODEL_FILE} is not the model that the manifest describes: {AGAIN}"
            )

    def _checked(self, name: str) -> Iterator[bytes]:
        """The content of a member; BundleCorrupt in the end when it is not what the manifest promises."""
        digest = hashlib.sha256()
        for chunk in self._archive.chunks(name):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != self.manifest.members[name].sha256:
            raise BundleCorrupt(
                f"{self.path}: member {name} has another checksum than the manifest says: {AGAIN}"
            )

    def extract(self, folder: Path) -> None:
        """Write bundle.json and the members into an empty folder, checking them again."""
        (folder / FILE).write_bytes(self._raw)
        for name in self.manifest.members:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.writelines(self._checked(name))

    def unpack(self, folder: Path) -> None:
        """Make `folder`, with everything in it, at once; UsageError when it exists, BundleError for a full disk."""
        if os.path.lexists(folder):
            raise UsageError(f"{folder} exists: name a folder that does not")
        with room(folder, "name a folder elsewhere"), files.new_directory(folder) as work:
            self.extract(work)

    def cached(self) -> Path:
        """The unpacked folder in the cache, by content: a second call finds it there."""
        with room(cache.root(), f"set {cache.ROOT_VARIABLE} to a directory elsewhere"):
            return cache.fetch(_KIND, self.digest[:32], self.extract)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open(path: str | os.PathLike[str], key: Path | None = None) -> Bundle:  # noqa: A001
    """Open and check a bundle: structure, manifest, signature, and the checksum of every member.

    With `key`, or $EDGELLM_PUBLIC_KEY (the path of a public key in PEM), it must be signed by that key.
    Raises ModelNotFound, BundleCorrupt, BundleUnsupported, BundleUntrusted.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise ModelNotFound(f"{place}: no such bundle: make one with `edgellm bundle`")
    demanded = os.environ.get(KEY_VARIABLE)
    key = key or (Path(demanded).expanduser() if demanded else None)
    file = place.open("rb")
    try:
        return Bundle(file, place, key)
    except BaseException:
        file.close()
        raise
