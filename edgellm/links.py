"""Published bitstreams: for a model, `bitstreams/MODEL.bit.link` says where the bundle for each board lies.

PYNQ's convention, an object by board, with a SHA-256 and what the bitstream was made of and with. What is fetched is a
bundle (docs/bundles.md) with bitstream, hardware hand-off and design, so that everything else can be checked too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgellm import bundle, downloads, fields, resources
from edgellm.downloads import Address, Asset
from edgellm.errors import BundleMismatch, ConfigError, ModelNotFound
from edgellm.fields import Fields

SUFFIX = ".bit.link"
ANSWERS = ("yes", "no")
_NAME, _SHA256 = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Link:
    """A bundle on the web with a bitstream in it, and what it was made of and with.

    `model` is the SHA-256 of the integer ONNX file, `build` the number in the register BUILD, `verified` whether it has
    answered on this board.
    """

    name: str
    board: str
    url: str
    sha256: str
    size: int
    model: str
    build: int
    tools: dict[str, str]
    verified: bool

    @property
    def asset(self) -> Asset:
        """What `downloads` fetches."""
        title = f"{self.name} for {self.board}, a bundle with a bitstream"
        file = f"{self.name}-{self.board}{bundle.SUFFIX}"
        return Asset("bitstream", title, Address(self.url), file, self.sha256, self.size, "in the bundle")


def folder() -> Path:
    """Where the links lie that come with edgellm."""
    return resources.directory("bitstreams")


def published() -> list[Link]:
    """All of them."""
    return [link for path in sorted(folder().glob(f"*{SUFFIX}")) for link in read(path)]


def find(model: str, board: str) -> Link:
    """The link of a model, by its name or the path of a link file, for a board; ModelNotFound says what there is."""
    path = Path(model)
    there = read(path) if path.name.endswith(SUFFIX) and path.is_file() else published()
    name = path.name.removesuffix(SUFFIX)
    for link in there:
        if (link.name, link.board) == (name, board):
            return link
    names = ", ".join(f"{link.name} for {link.board}" for link in there) or "none yet"
    raise ModelNotFound(
        f"no bitstream of {name} for {board} has been published (there are: {names}): make one with Vivado and "
        "`edgellm bundle --bitstream` (docs/bundles.md)"
    )


def fetch(link: Link, source: Path | None = None) -> Path:
    """The bundle in the cache, fetched or taken from `source`, and checked against what the link promises.

    Raises DownloadFailed, BundleMismatch and the errors of `bundle.open`.
    """
    path = downloads.fetch(link.asset, source)
    with bundle.open(path) as opened:
        about = opened.manifest
    if about.target is None or about.target.bitstream is None:
        raise BundleMismatch(f"{link.url}: holds no bitstream, and its link promises one")
    for what, promised, found in (
        ("board", link.board, about.target.board),
        ("model", link.model, about.model.sha256),
        ("build", link.build, about.target.build),
    ):
        if promised != found:
            raise BundleMismatch(f"{link.url}: {what} is {found}, and its link promises {promised}")
    return path


def read(path: Path) -> list[Link]:
    """The links of a file; ConfigError names what is wrong in it."""
    way_out = "write it again (bitstreams/README.md)"
    top = fields.parse(path.read_bytes(), path, ConfigError, way_out)
    if not isinstance(top.data, dict):
        raise ConfigError(f"{path}: must be an object with a field for each board: {way_out}")
    name = path.name.removesuffix(SUFFIX)
    return [_link(name, board, top.inner(board)) for board in top.data]


def _link(name: str, board: str, data: Fields) -> Link:
    data.only("url", "sha256", "bytes", "provenance")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(board):
        raise ConfigError(f"{data.path}: {name!r} for {board!r} must be plain names")
    made = data.inner("provenance")
    made.only("model", "build", "tools", "verified_on_hardware")
    tools = made.inner("tools")
    verified = made.get("verified_on_hardware", str)
    if verified not in ANSWERS:
        raise ConfigError(
            f"{made.path}: field {made.prefix}verified_on_hardware must be yes or no, not {verified!r}"
        )
    return Link(
        name=name,
        board=board,
        url=data.get("url", str),
        sha256=_sha256(data, "sha256"),
        size=data.get("bytes", int),
        model=_sha256(made, "model"),
        build=made.get("build", int),
        tools={tool: tools.get(tool, str) for tool in tools.data},
        verified=verified == "yes",
    )


def _sha256(data: Fields, key: str) -> str:
    text: str = data.get(key, str)
    if not _SHA256.fullmatch(text):
        raise ConfigError(f"{data.path}: field {data.prefix}{key} must be 64 hex digits")
    return text
