"""Interrupts of the simulated board, in the place where PYNQ keeps the UIO devices of the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pynq.interrupt import _InterruptController

from edgellm.sim.board_fabric import Fabric

STEP_CYCLES = 32
STEPS = 3000  # that time goes on by itself after somebody began to wait


class SimulatedUio:
    """As pynq.UioController: calls those who wait once the processor is interrupted."""

    @classmethod
    def plug(cls, fabric: Fabric, controllers: Mapping[str, Mapping[str, Any]]) -> None:
        """Be the UIO device of every interrupt controller that is tied to the processors."""
        _InterruptController._controllers.clear()
        for told in controllers.values():
            _InterruptController._uio_devices[told["raw_irq"]] = cls(fabric)

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._waiting: list[tuple[asyncio.AbstractEventLoop, Any]] = []
        self._left = 0
        fabric.woken = self._wake

    def add_event(self, event: Any, number: int) -> None:
        """Call `event.set()` with the next interrupt. Called in the event loop of who waits."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop, event))
        self._left, idle = STEPS, self._left == 0
        if idle:
            loop.call_soon(self._step, loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        """Time goes on while the host sleeps."""
        self._fabric.pass_time(STEP_CYCLES)
        self._left = self._left - 1 if self._waiting else 0
        if self._left:
            loop.call_soon(self._step, loop)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)
