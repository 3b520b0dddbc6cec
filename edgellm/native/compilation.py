"""Compiling the C library. Standard library alone: the package's own build loads this file before anything is installed."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SOURCES = PACKAGE / "src"
LIBRARY = "libedgellm.so"
STAMP = f"{LIBRARY}.sha256"  # of the sources that the library beside it was built from
# no -ffast-math: doubles must round as IEEE 754 says
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-ffp-contract=off",
)
COMPILERS = ("cc", "gcc", "clang")


class CannotCompile(Exception):
    """The compiler does not start, or refuses the sources."""


@lru_cache(1)
def digest() -> str:
    """Changes with the sources and how they are compiled."""
    seen = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()


def find_compiler() -> list[str] | None:
    """$CC, or the first C compiler of the PATH."""
    if asked := shlex.split(os.environ.get("CC", "")):
        return asked
    found = (shutil.which(name) for name in COMPILERS)
    return next(([path] for path in found if path), None)


def compile_into(library: Path, compiler: list[str]) -> None:
    """Compile the sources to `library`. Raises: CannotCompile with what the compiler says."""
    import subprocess  # takes longer to load than a short answer, and is needed once

    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    command = [*compiler, *FLAGS, "-o", str(library), *sources, "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotCompile(f"the C compiler {compiler[0]} does not start: {error}") from error
    if done.returncode:
        told = "\n".join(done.stderr.splitlines()[:10])
        raise CannotCompile(f"the C compiler {compiler[0]} failed on back end native:\n{told}")


def package_into(folder: Path, compiler: list[str]) -> None:
    """Put the library into a package that is being built. Raises: CannotCompile."""
    compile_into(folder / LIBRARY, compiler)
    (folder / STAMP).write_text(digest(), encoding="ascii")
