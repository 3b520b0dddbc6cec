"""The C library: built with the package where there is a compiler, otherwise when first used, kept in the cache by content."""

from __future__ import annotations

from pathlib import Path

from edgellm import cache
from edgellm.errors import ToolMissing
from edgellm.native import compilation
from edgellm.progress import track

KIND = "native"  # in the cache


def library() -> Path:
    """The shared library of these sources. Raises: ToolMissing where it has to be built and cannot be."""
    return packaged() or cache.fetch(KIND, _key(), _compile) / compilation.LIBRARY


def check() -> None:
    """Raise ToolMissing where there is no library and no compiler to make one."""
    if not (packaged() or cache.holds(KIND, _key())):
        _compiler()


def packaged() -> Path | None:
    """The library that came with the package, if it is that of these sources."""
    found = compilation.PACKAGE / compilation.LIBRARY
    return found if found.is_file() and _stamp() == compilation.digest() else None


def _key() -> str:
    return compilation.digest()[:32]


def _compile(work: Path) -> None:
    compiler = _compiler()
    try:
        with track("Compiling the kernels of back end native"):
            compilation.compile_into(work / compilation.LIBRARY, compiler)
    except compilation.CannotCompile as error:
        raise ToolMissing(str(error)) from error


def _compiler() -> list[str]:
    found = compilation.find_compiler()
    if found is None:
        raise ToolMissing(
            "back end native was not built with the package and there is no C compiler to build it now: "
            "apt-get install gcc"
        )
    return found


def _stamp() -> str:
    try:
        return (compilation.PACKAGE / compilation.STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return ""
