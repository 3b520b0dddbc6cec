"""A worker's process, and this end of its sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys

CHILD = "edgellm.serve.workers.child"
LOOK = 0.002  # s between two looks whether it is gone


class Spawned:
    """A process of its own session, so that a terminal's signals do not reach it."""

    def __init__(self) -> None:
        """Start it; it waits for a model. The thread that does this must live on, because the process ends with it."""
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._killed = False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def kill(self) -> None:
        """At once; nothing happens where it is gone already."""
        self._killed = self._killed or self._process.poll() is None
        self._process.kill()

    async def buried(self, seconds: float) -> bool:
        """Wait until it is gone, so long at most; whether it is."""
        for _ in range(round(seconds / LOOK)):
            if self._process.poll() is not None:
                return True
            await asyncio.sleep(LOOK)
        return False

    def end(self) -> str:
        """How it ended, as far as that is known."""
        code = self._process.poll()
        if code is None:
            return "does not end"
        if code < 0:
            return "was killed for it" if self._killed else f"was ended by {signal.Signals(-code).name}"
        return f"ended with status {code}"
