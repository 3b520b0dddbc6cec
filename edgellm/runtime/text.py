"""Tokens to text while they arrive: whole characters only, and never a part of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

_Decoder = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Feed bytes of tokens; get back text that is safe to show.

    Text that could be the beginning of a stop string is held back until it is known not to be one. `stopped` turns true
    when a stop string was found; nothing from it on is ever returned.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._decode = _Decoder(errors="replace").decode
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """Text that the new bytes settle."""
        if not self._stops:
            return self._decode(data)
        return self._settle(self._decode(data), last=False)

    def close(self) -> str:
        """What is left when no more tokens come."""
        return self._settle(self._decode(b"", True), last=True)

    def _settle(self, new: str, last: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        cut = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = 0 if last else self._unsettled(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _unsettled(self, text: str) -> int:
        """Length of the longest tail that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for size in range(min(longest, len(text)), 0, -1):
            tail = text[len(text) - size :]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
