"""Cuts a text that is longer than the context: at the end of a sentence, else of a line, a word or a token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SENTENCE_END = re.compile(r"[.!?…][\"')\]”’»]*(?=\s)|[。！？]")
LINE_END = re.compile(r"\n")
SPACE = re.compile(r"\s")
WINDOW = 6  # characters looked at for each token that fits, to begin with
Starts = Callable[[str], list[int]]  # text -> position of each token's first character


def cut(text: str, starts: Starts, most: int) -> Iterator[str]:
    """Pieces of at most `most` tokens (at least 4: one character may take as many), without white space at their ends.

    A border is looked for in the second half of what fits, so that no piece is much shorter than it could be.
    """
    rest = text.strip()
    at, window = 0, most * WINDOW
    while at < len(rest):
        size = _size(rest, at, starts, most, window)
        yield rest[at : at + size].rstrip()
        at, window = at + size, max(size + size // 2, most)
        while at < len(rest) and rest[at].isspace():
            at += 1


def _size(text: str, at: int, starts: Starts, most: int, window: int) -> int:
    """Characters of the piece that begins at `at`; `window` is a guess at how many are enough to look at."""
    while True:
        part = text[at : at + window]
        begins = starts(part)
        if len(begins) > most:
            return _border(text[at : at + begins[most] + 1], starts, most)
        if at + window >= len(text):
            return len(part)
        window *= 2


def _border(part: str, starts: Starts, most: int) -> int:
    """Where to cut text of which all but the last character fits; that one may be the space behind a piece."""
    size = len(part) - 1
    for border in (SENTENCE_END, LINE_END, SPACE):
        ends = [found.end() for found in border.finditer(part, size // 2)]
        if fitting := [end for end in ends if end <= size or part[size].isspace()]:
            return fitting[-1]
    while len(starts(part[:size])) > most:  # a cut contraction may take a token more
        size -= 1
    return size
