"""Progress of long work on standard error: one line that is redrawn on a terminal, a line now and then elsewhere.

Plain text on purpose: it also runs on a board that has NumPy alone, and its lines are readable in a CI log.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TextIO

REDRAW_SECONDS = 0.1  # on a terminal
LOG_SECONDS = 20.0  # in a file or a pipe
BAR_WIDTH = 24


def clock(seconds: float) -> str:
    """`95` -> `1:35`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bar:
    """Counts work done; `fields` (loss, tokens/s, ...) are shown behind the bar."""

    def __init__(
        self, label: str, total: float | None, stream: TextIO, now: float, done: float = 0.0
    ) -> None:
        self.label, self.total, self.done, self._before = label, total, done, done
        self._stream, self._start, self._drawn = stream, now, now
        self._terminal = stream.isatty()
        self._fields: dict[str, object] = {}

    def advance(self, amount: float = 1, **fields: object) -> None:
        """Note that `amount` more work is done."""
        self.done += amount
        self._fields.update(fields)
        now = time.monotonic()
        if now - self._drawn >= (REDRAW_SECONDS if self._terminal else LOG_SECONDS):
            self._drawn = now
            self._write(now, "\r" if self._terminal else "", "" if self._terminal else "\n")

    def finish(self, ok: bool) -> None:
        """Draw the last line; called by `track`."""
        self._write(time.monotonic(), "\r" if self._terminal else "", "\n" if ok else " stopped\n")

    def _write(self, now: float, start: str, end: str) -> None:
        line = self._line(now)
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            line = line[:columns].ljust(columns)
        self._stream.write(start + line + end)
        self._stream.flush()

    def _line(self, now: float) -> str:
        spent = now - self._start
        parts = [self.label]
        if self.total:
            share = min(self.done / self.total, 1.0)
            parts.append(f"[{'#' * int(share * BAR_WIDTH):<{BAR_WIDTH}}] {share:4.0%}")
            if share < 1 and self.done > self._before:
                left = spent * (self.total - self.done) / (self.done - self._before)
                parts.append(f"{clock(spent)} left {clock(left)}")
            else:
                parts.append(clock(spent))
        else:
            parts.append(clock(spent))
        parts += [f"{name} {_short(value)}" for name, value in self._fields.items()]
        return "  ".join(parts)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return str(value)


@contextlib.contextmanager
def track(
    label: str, total: float | None = None, stream: TextIO | None = None, done: float = 0.0
) -> Iterator[Bar]:
    """Show progress while the block runs; quiet when EDGELLM_PROGRESS=0. `done` of the total was there before."""
    quiet = os.environ.get("EDGELLM_PROGRESS") == "0"
    with open(os.devnull, "w") if quiet else contextlib.nullcontext(stream or sys.stderr) as out:
        bar = Bar(label, total, out, time.monotonic(), done)
        try:
            yield bar
        except BaseException:
            bar.finish(ok=False)
            raise
        bar.finish(ok=True)
