"""What systemd is told: ready, reloading, stopping, and that all is well."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import sdnotify

SHARE = 3  # signs of life in the time that systemd waits


class Notifier:
    """Says nothing where systemd does not listen."""

    def __init__(self) -> None:
        self._systemd = sdnotify.SystemdNotifier()

    def ready(self, where: str) -> None:
        """Requests are served."""
        self._systemd.notify(f"READY=1\nSTATUS=listening on {where}")

    def reloading(self) -> None:
        """Until `ready` comes again; with the time, as Type=notify-reload wants it."""
        self._systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """And how long it may take."""
        self._systemd.notify(
            f"STOPPING=1\nSTATUS=finishing answers\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"
        )

    async def watch(self, alive: Callable[[], bool]) -> None:
        """Signs of life for ever, from the event loop and only while `alive`; nothing where none are waited for."""
        period = watchdog_seconds()
        while period:
            if alive():
                self._systemd.notify("WATCHDOG=1")
            await asyncio.sleep(period / SHARE)


def watchdog_seconds() -> float | None:
    """How long systemd waits for a sign of life; None: it does not."""
    whose, microseconds = os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or whose not in (None, str(os.getpid())):
        return None
    return int(microseconds) / 1e6 or None
