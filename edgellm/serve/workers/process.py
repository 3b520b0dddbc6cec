"""A worker in a process of its own, so that nothing that breaks there can take the service down."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from edgellm.errors import BackendFailed, EdgeLLMError, UsageError
from edgellm.serve.orders import Order, Portion, WorkerState
from edgellm.serve.workers import wire
from edgellm.serve.workers.channel import Channel, Message
from edgellm.serve.workers.mail import Mail
from edgellm.serve.workers.pulse import PATIENCE, Patience, Pulse
from edgellm.serve.workers.spawn import Spawned
from edgellm.serve.workers.wanted import Wanted


class ProcessWorker:
    """See `orders.Worker`: one life of a process. `open` makes one."""

    def __init__(self, name: str, broke: Callable[[], None], patience: Patience) -> None:
        """A process that has no model yet; to be called where an event loop runs."""
        self.name, self.backend, self.slots = name, "", 0
        self._broke, self._patience = broke, patience
        self._mail: dict[int, Mail] = {}
        self._numbers = itertools.count(1)
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._against: str | None = f"worker {name} is not open"  # why it takes no orders
        self._ending: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()  # the other end of the channel is
        self._channel, self._pulse = Channel(self._took, self._lost), Pulse(patience)
        self._cached = 0
        self._failures: tuple[str, ...] = ()
        self._process = Spawned()

    @classmethod
    async def open(
        cls, name: str, wanted: Wanted, broke: Callable[[], None], patience: Patience = PATIENCE
    ) -> ProcessWorker:
        """Start a process, which loads the model. `broke` is called when it has died by itself.

        Raises: as `runtime.llm.load`; BackendFailed when it dies meanwhile, or takes too long.
        """
        worker = cls(name, broke, patience)
        try:
            await worker._load(wanted)
        except BaseException:
            await worker.close()
            raise
        return worker

    async def _load(self, wanted: Wanted) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._channel, sock=self._process.socket)
        self._channel.send([wire.OPEN, self.name, str(wanted.folder), wanted.backend, wanted.digest])
        try:
            await asyncio.wait_for(self._opened, self._patience.start)
        except asyncio.TimeoutError:
            why = f"worker {self.name}: its process did not load the model within {self._patience.start:g} s"
            raise BackendFailed(why) from None
        self._against = None
        loop.call_later(self._patience.beat, self._beat)

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions as they come."""
        if self._against is not None:
            raise BackendFailed(self._against)
        number = next(self._numbers)
        try:
            self._channel.send(wire.order_message(number, order))
        except (TypeError, ValueError) as error:
            raise UsageError(f"the request cannot be sent to a worker: {error}") from None
        mail = self._mail[number] = Mail()
        try:
            async with aclosing(mail.read()) as portions:
                async for portion in portions:
                    yield portion
        finally:
            del self._mail[number]
            if not mail.over:
                self._channel.send([wire.CANCEL, number])

    def state(self) -> WorkerState:
        """How it is."""
        running = min(len(self._mail), self.slots)
        return WorkerState(
            self._against is None, running, len(self._mail) - running, self._cached, self._failures
        )

    async def clear_cache(self) -> None:
        """Tell the process to forget every cached prefix."""
        if self._against is None:
            self._channel.send([wire.CLEAR])

    async def close(self) -> None:
        """Ask the process to end, and kill it if it does not."""
        if self._ending is None:
            self._channel.send([wire.CLOSE])
            self._end(f"worker {self.name} is closed")
            self._ending = asyncio.create_task(self._close())
        await asyncio.shield(self._ending)

    async def _close(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._gone.wait(), self._patience.close)
        self._process.kill()
        self._channel.abort()
        await self._process.buried(self._patience.close)

    def _lost(self, why: str) -> None:
        """Nothing comes through the channel any more."""
        self._gone.set()
        self._die(why)

    def _die(self, why: str) -> None:
        """The process is gone or of no use: its answers go on elsewhere at once."""
        if self._ending is None:
            self._end(f"worker {self.name}: {why}")
            self._ending = asyncio.create_task(self._bury(why))
            self._broke()

    async def _bury(self, why: str) -> None:
        if self._gone.is_set():  # by itself: a moment for how
            await self._process.buried(self._patience.beat)
        self._process.kill()
        self._channel.abort()
        await self._process.buried(self._patience.close)
        self._failures = (*self._failures, f"{why}: process {self._process.pid} {self._process.end()}")

    def _end(self, why: str) -> None:
        """Take no more orders, and fail those that are there."""
        self._against = why
        if not self._opened.done():
            self._opened.set_exception(BackendFailed(why))
        for mail in self._mail.values():
            mail.fail(BackendFailed(why))

    def _beat(self) -> None:
        """Ask how it is, again and again."""
        if self._ending is not None:
            return
        if why := self._pulse.beat():
            self._die(why)
            return
        self._channel.send([wire.BEAT])
        asyncio.get_running_loop().call_later(self._patience.beat, self._beat)

    def _took(self, message: Message) -> None:
        """A message of the process."""
        self._pulse.heard()
        kind = message[0]
        if kind == wire.BEAT:
            self._told(*message[1:])
        elif kind == wire.OPENED:
            self.backend, self.slots = message[1:]
            self._set_opened(None)
        elif kind == wire.FAILED:
            self._set_opened(wire.error_of(*message[1:]))
        elif mail := self._mail.get(message[1]):  # otherwise its reader has gone
            wire.deliver(message, mail)

    def _set_opened(self, error: EdgeLLMError | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(error) if error else self._opened.set_result(None)

    def _told(
        self, backend: str, slots: int, running: int, cached: int, failures: Sequence[str], turns: int
    ) -> None:
        self.backend, self.slots = backend, slots
        self._cached, self._failures = cached, tuple(failures)
        self._pulse.told(running, turns)
