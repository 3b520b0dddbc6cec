"""The worker's side: `python -m edgellm.serve.workers.child FD` answers what comes on a socket until the other end is gone.

The process ends with who started it, whatever happens to that one. SIGINT and SIGTERM are left to the service, which finishes
its answers first.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

from edgellm.serve.orders import Order
from edgellm.serve.workers import wire
from edgellm.serve.workers.channel import Channel, Message
from edgellm.serve.workers.local import LocalWorker
from edgellm.serve.workers.wanted import Wanted

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A local worker behind a channel."""

    def __init__(self) -> None:
        self._channel = Channel(self._took, self._lost)
        self._over = asyncio.Event()
        self._worker: LocalWorker | None = None
        self._opening: asyncio.Task[None] | None = None
        self._clearing: asyncio.Future[None] | None = None
        self._answers: dict[int, asyncio.Task[None]] = {}

    async def run(self, connection: socket.socket) -> None:
        """Until the other end is gone or says so."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._channel, sock=connection)
        await self._over.wait()
        if self._worker is not None:
            await self._worker.close()

    def _lost(self, why: str) -> None:
        self._over.set()

    def _took(self, message: Message) -> None:
        kind = message[0]
        if kind == wire.ORDER:
            self._begin(message)
        elif kind == wire.CANCEL:
            if answer := self._answers.get(message[1]):
                answer.cancel()
        elif kind == wire.BEAT:
            self._beat()
        elif kind == wire.OPEN:
            self._opening = asyncio.ensure_future(self._open(*message[1:]))
        elif kind == wire.CLEAR and self._worker is not None:
            self._clearing = asyncio.ensure_future(self._worker.clear_cache())
        elif kind == wire.CLOSE:
            self._over.set()

    async def _open(self, name: str, folder: str, backend: str, digest: str) -> None:
        try:
            llm = await asyncio.to_thread(Wanted(Path(folder), backend, digest).load)
        except Exception as error:  # whatever it is, the service is told
            self._channel.send([wire.FAILED, *wire.told_error(error)])
            return
        self._worker = LocalWorker(name, llm)
        self._channel.send([wire.OPENED, self._worker.backend, self._worker.slots])

    def _beat(self) -> None:
        """Say how the worker is."""
        worker = self._worker
        if worker is None:
            return
        state = worker.state()
        self._channel.send(
            [
                wire.BEAT,
                worker.backend,
                worker.slots,
                state.running,
                state.cached,
                state.failures,
                worker.turns,
            ]
        )

    def _begin(self, message: Message) -> None:
        number = message[1]
        try:
            order = wire.order_of(message)[1]
        except Exception as error:  # concerns this order alone
            self._channel.send([wire.ERROR, number, *wire.told_error(error)])
            return
        self._answers[number] = task = asyncio.ensure_future(self._answer(number, order))
        task.add_done_callback(lambda _: self._answers.pop(number, None))

    async def _answer(self, number: int, order: Order) -> None:
        worker = self._worker
        if worker is None:
            return
        try:
            async for portion in worker.stream(order):
                for message in wire.portion_messages(number, portion):
                    self._channel.send(message)
        except Exception as error:
            self._channel.send([wire.ERROR, number, *wire.told_error(error)])


def die_with_the_parent() -> None:
    """Let the kernel kill this process when its parent's thread ends, for a device that hangs sees no closed socket."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Serve the socket whose descriptor is the argument."""
    die_with_the_parent()
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(Child().run(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main()
