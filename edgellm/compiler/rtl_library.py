"""The SystemVerilog files of hw/rtl: one module a file, named like it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from edgellm import resources
from edgellm.errors import CompileError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"\b[a-z]\w*\b")


def path(module: str) -> Path:
    """File of one module. Raises CompileError."""
    file = resources.rtl() / f"{module}.sv"
    if not file.is_file():
        raise CompileError(f"module {module} is missing: {file.parent} has no {file.name}")
    return file


@lru_cache(maxsize=64)
def closure(module: str) -> tuple[Path, ...]:
    """Files of a module and of everything it instantiates, the module's own file last."""
    seen: dict[str, Path] = {}
    _collect(module, {file.stem for file in resources.rtl().glob("*.sv")}, seen)
    return tuple(seen.values())


def _collect(module: str, known: set[str], seen: dict[str, Path]) -> None:
    text = _COMMENT.sub("", path(module).read_text(encoding="utf-8"))
    for name in sorted(known & set(_WORD.findall(text)) - {module} - seen.keys()):
        _collect(name, known, seen)
    seen[module] = path(module)
