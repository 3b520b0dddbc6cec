"""A service as a process: start it, wait until it listens, stop it."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

STANDIN = Path(__file__).with_name("standin.py")
REAL = ["-m", "edgellm.cli.main"]
SECONDS = 60.0


class Process:
    """`edgellm serve` of standin.py, or the real one; `url` once it listens."""

    def __init__(
        self,
        *arguments: str,
        command: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
        real: bool = False,
        **environment: str,
    ) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGELLM_SERVE_")}
        self._child = subprocess.Popen(
            [*command, sys.executable, *(REAL if real else [str(STANDIN)]), "serve", *arguments],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        for stream, take in ((self._child.stdout, self._lines.put), (self._child.stderr, self.errors.append)):
            threading.Thread(target=_pass, args=(stream, take), daemon=True).start()
        self.line, self.url = "", ""

    @property
    def pid(self) -> int:
        return self._child.pid

    def listening(self) -> Process:
        """Wait for the line that tells where."""
        self.line = self._lines.get(timeout=SECONDS)
        assert self.line, f"it ended: {''.join(self.errors)}"
        self.url = re.search(r"https?://\S+", self.line)[0]
        return self

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self._child.wait(SECONDS)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


def _pass(stream, take) -> None:
    for line in stream:
        take(line)
    take("")


@contextlib.contextmanager
def serving(*arguments: str, real: bool = False, **environment: str) -> Iterator[Process]:
    """One that listens on a free port."""
    process = Process("home-260k", "--port", "0", *arguments, real=real, **environment)
    try:
        yield process.listening()
    finally:
        process.kill()


def until(condition) -> None:
    """Wait for it to hold."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
