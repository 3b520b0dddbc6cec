"""Which files of a design folder one module needs, and which memory files those read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgellm.errors import CompileError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DEFINITION = re.compile(r"^\s*(?:module|package)\s+(?:automatic\s+)?(\w+)", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_MEMORY = re.compile(r'"(mem/[^"]+)"')


class Library:
    """The sources of a folder, by what they define."""

    def __init__(self, folder: Path, sources: Sequence[str]) -> None:
        """`sources` are relative to `folder`, in compile order."""
        self.folder, self.sources = folder, tuple(sources)
        self._words: dict[str, set[str]] = {}
        self._home: dict[str, str] = {}
        for source in self.sources:
            text = _COMMENT.sub("", self.text(source))
            self._words[source] = set(_WORD.findall(text))
            self._home |= dict.fromkeys(_DEFINITION.findall(text), source)

    def text(self, source: str) -> str:
        """Content of a file. Raises: CompileError when it cannot be read."""
        try:
            return (self.folder / source).read_text(encoding="utf-8")
        except OSError as error:
            raise CompileError(
                f"{self.folder / source}: {error.strerror}: compile the model again"
            ) from error

    def closure(self, module: str) -> list[str]:
        """Sources of a module and of all it names, in compile order. Raises: CompileError for an unknown module."""
        if module not in self._home:
            raise CompileError(f"{self.folder}: no source defines module {module}: compile the model again")
        needed, waiting = set[str](), [self._home[module]]
        while waiting:
            source = waiting.pop()
            if source not in needed:
                needed.add(source)
                waiting += [self._home[word] for word in self._words[source] & self._home.keys()]
        return [source for source in self.sources if source in needed]

    def memories(self, sources: Sequence[str]) -> list[str]:
        """Memory files that these sources read, relative to the folder."""
        return sorted({name for source in sources for name in _MEMORY.findall(self.text(source))})
