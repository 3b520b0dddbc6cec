"""One engine above the back ends: requests wait, get a slot, share a device, move to another when it breaks.

Nobody runs in the background: whoever waits for an answer turns the wheel (`pump`), and delivers to the others what comes for
them. A lock makes that safe for threads; only one of them uses a device at a time.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendError, BackendFailed, BackendUnavailable, ModelUnsupported
from edgellm.numerics.generation import FinishReason, check_request
from edgellm.runtime.device import LOGITS, Device, Event, Job
from edgellm.runtime.slots import SlotTable

POLL_SECONDS = 0.05
CLOSED = "the engine is closed: open the model again"
# (logits, tokens so far) -> token, or several where those behind the first are certain; None to end
Choose = Callable[[NDArray[np.int16], Sequence[int]], "int | Sequence[int] | None"]
Opener = Callable[[], Device]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and what is wanted. `choose` takes each token's choice to the host; `deadline` is seconds from submission."""

    job: Job
    choose: Choose | None = None
    deadline: float | None = None
    priority: int = 0  # the higher, the earlier


@dataclass(slots=True, eq=False)
class Answer:
    """What has come so far. `tokens` leaves the stop id out; `finish_reason` is set with the last one."""

    request: Request
    submitted: float
    rank: tuple[int, int]  # in the queue
    tokens: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    error: Exception | None = None
    backend: str = ""
    cached: int = 0  # tokens of the prompt that were in the cache
    first_token: float | None = None  # seconds from submission
    counters: Mapping[str, float] = field(default_factory=dict)
    slot: int | None = None
    notify: Callable[[], None] | None = None  # called when there is something new, by whoever turns the wheel
    whole: bool = False  # notify of the end alone
    fed: bool = False  # the prompt has been, for certain
    unfed: int = 1  # of its last tokens, as far as is known
    carried: int = 0  # tokens that another device generated, and this one was fed like a prompt
    compared: bool = True  # whether the device knows all its stop ids
    plain: bool = False  # its next token needs no more than to be kept, unless a reason comes with it

    @property
    def done(self) -> bool:
        return self.finish_reason is not None or self.error is not None


class Engine:
    """Devices of one model, the preferred one first; the next is opened when one does not open or breaks down.

    Safe for threads. Raises what the last opener raises when none opens.
    """

    def __init__(self, openers: Sequence[Opener]) -> None:
        self._openers = list(openers)
        self._lock = threading.RLock()
        self._inbox: deque[Answer] = deque()  # submitted, not in the queue yet
        self._unwanted: deque[Answer] = deque()  # to be cancelled
        self._waiting: list[tuple[tuple[int, int], Answer]] = []
        self._running: dict[int, Answer] = {}
        self._timed: set[Answer] = set()  # answers with a deadline
        self._news: set[Answer] = set()  # that somebody wants to hear of
        self._closed = False
        self._order = itertools.count()
        self.failures: list[str] = []  # why devices were given up
        self._use(self._open())

    def _open(self) -> Device:
        """The next device that opens; those that do not are noted. Raises what the last one raises."""
        while True:
            try:
                return self._openers.pop(0)()
            except BackendError as error:
                self.failures.append(str(error))
                if not self._openers:
                    raise

    def _use(self, device: Device) -> None:
        self.device = device
        self._table = SlotTable(device.traits.slots, device.traits.copies)

    def submit(
        self,
        request: Request,
        notify: Callable[[], None] | None = None,
        tokens: Sequence[int] = (),
        whole: bool = False,
    ) -> Answer:
        """Put a request into the queue; never waits. `notify` is called when the answer got something, or, `whole`, its end.

        `tokens`: the beginning of the answer, where another engine generated it; those that follow are the same ones.

        Raises: EmptyPrompt, PromptTooLong, UsageError; BackendUnavailable for a host's choice where the device shows no logits;
        BackendFailed after `close`.
        """
        if self._closed:
            raise BackendFailed(CLOSED)
        check_request(self.device.arch, request.job.prompt, request.job.max_tokens)
        if request.choose is not None and not self.device.traits.logits:
            raise BackendUnavailable(
                f"back end {self.device.name} gives tokens only: leave out what the host has to choose by"
            )
        answer = Answer(request, time.monotonic(), (-request.priority, next(self._order)), notify=notify)
        answer.tokens, answer.carried, answer.whole = list(tokens), len(tokens), whole
        self._inbox.append(answer)
        return answer

    def tokens(self, answer: Answer) -> Generator[list[int], None, None]:
        """Tokens in the portions in which they come, until the answer is done; closing the iterator cancels it.

        Raises: BackendFailed, ModelUnsupported.
        """
        seen = 0
        try:
            while True:
                if len(answer.tokens) > seen:
                    new = answer.tokens[seen:]
                    seen += len(new)
                    yield new
                elif answer.done:
                    break
                else:
                    self.pump(answer, seen)
        finally:
            self.cancel(answer)
        if answer.error is not None:
            raise answer.error

    def wait(self, answer: Answer) -> None:
        """Until the answer is done; whoever is interrupted cancels it. Raises: as `tokens`."""
        try:
            while not answer.done:
                self.pump(answer, len(answer.tokens))
        finally:
            self.cancel(answer)
        if answer.error is not None:
            raise answer.error

    def pump(self, awaited: Answer | None = None, seen: int = 0) -> None:
        """One round for everybody; none when `awaited` got more than `seen` tokens while another thread turned the wheel."""
        with self._lock:
            if awaited is not None and (awaited.done or len(awaited.tokens) > seen):
                return
            if self._inbox or self._unwanted or self._timed:
                self._sort()
            try:
                if self._waiting:
                    self._admit()
                running = self._running
                for event in self.device.poll(POLL_SECONDS):
                    answer = running.get(event.slot)
                    if answer is not None and answer.plain and event.reason is None:
                        answer.tokens += event.before
                        answer.tokens.append(event.token)
                    elif answer is not None:
                        self._deliver(answer, event)
            except BackendFailed as error:
                self._replace(error)
            if self._news:
                self._tell()

    def cancel(self, answer: Answer, reason: str | None = "cancelled") -> None:
        """End an answer at once, queued or running; nothing happens to one that is done."""
        if answer.done:
            return
        with self._lock:
            if answer.done:
                return
            if answer.slot is None:
                self._end(answer, reason)
            else:
                self._cancel_running(answer, answer.slot, reason)
            self._tell()

    def _cancel_running(self, answer: Answer, slot: int, reason: str | None) -> None:
        try:
            self.device.cancel(slot)
        except BackendFailed as error:
            self._end(answer, reason)
            self._replace(error)
        else:
            self._free(answer, reason)

    def abandon(self, answer: Answer) -> None:
        """Let the next round cancel an answer; never waits."""
        self._unwanted.append(answer)

    def close(self) -> None:
        """Free the device; answers that are not done end with an error. A second call does nothing."""
        with self._lock:
            self._closed = True
            self._fail(BackendFailed(CLOSED))
            self._tell()
            self._openers.clear()
            self.device.close()

    @property
    def busy(self) -> int:
        """Answers that have a slot."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """Answers that wait for one."""
        return sum(not answer.done for answer in [*self._inbox, *(entry[1] for entry in self._waiting)])

    @property
    def cached(self) -> int:
        """Tokens in the prefix cache."""
        return self._table.cached()

    def clear_cache(self) -> None:
        """Forget every cached prefix."""
        with self._lock:
            self._table.clear()

    def _sort(self) -> None:
        """Take in what was submitted and abandoned meanwhile, and end what is past its deadline."""
        while self._inbox:
            answer = self._inbox.popleft()
            if answer.done:  # cancelled before its first round
                continue
            heapq.heappush(self._waiting, (answer.rank, answer))
            if answer.request.deadline is not None:
                self._timed.add(answer)
        while self._unwanted:
            self.cancel(self._unwanted.popleft())
        if self._timed:
            self._expire()

    def _tell(self) -> None:
        """Notify those who got something and want to hear of it."""
        while self._news:
            notify = self._news.pop().notify
            if notify is not None:
                notify()

    def _expire(self) -> None:
        now = time.monotonic()
        for answer in [one for one in self._timed if now - one.submitted >= (one.request.deadline or 0)]:
            self.cancel(answer, "deadline")

    def _admit(self) -> None:
        while self._waiting and self._table.free:
            answer = heapq.heappop(self._waiting)[1]
            if not answer.done:
                self._start(answer)

    def _start(self, answer: Answer) -> None:
        """Give an answer a slot; tokens that it has, from another device, are fed like a prompt."""
        request, device = answer.request, self.device
        job = request.job.after(answer.tokens) if answer.tokens else request.job
        place = self._table.place(job.prompt)
        self._running[place.slot] = answer
        answer.slot, answer.backend, answer.cached = place.slot, device.name, place.start
        stop_ids = self._compared(job.stop_ids)
        by_host = request.choose is not None
        try:
            if place.source is not None:
                device.copy(place.source, place.slot, place.start)
            before, rest, how = job.prompt[: place.start], job.prompt[place.start :], job.sampling
            wanted = Job(rest, job.max_tokens, stop_ids, how, place.start, by_host, before, job.speculate)
            device.submit(place.slot, wanted)
        except ModelUnsupported as error:
            answer.error = error
            self._free(answer, None)

    def _compared(self, stop_ids: frozenset[int]) -> frozenset[int]:
        """Those that the device is told."""
        most = self.device.traits.stop_ids
        return stop_ids if most is None else frozenset(sorted(stop_ids)[:most])

    def _deliver(self, answer: Answer, event: Event) -> None:
        if answer.first_token is None:
            answer.first_token = time.monotonic() - answer.submitted
        if not answer.fed:
            self._begun(answer, event.slot)
        if event.token == LOGITS:
            answer.unfed = 0
            self._choose(answer, event.slot)
            return
        if answer.compared:
            answer.tokens += event.before
        else:
            self._compare(answer, event.before)
        if answer.slot is not None:
            self._accept(answer, event.token, event.reason)

    def _compare(self, answer: Answer, tokens: Sequence[int]) -> None:
        """Tokens that the device let pass, up to a stop id that it does not compare."""
        for token in tokens:
            self._accept(answer, token, None)
            if answer.slot is None:
                break

    def _begun(self, answer: Answer, slot: int) -> None:
        """The whole prompt has been fed."""
        job, compared = answer.request.job, self.device.traits.stop_ids
        self._table.fed(slot, [*job.prompt, *answer.tokens][answer.cached :])
        answer.fed = True
        answer.compared = compared is None or len(job.stop_ids) <= compared
        unheard = answer.notify is None or answer.whole
        answer.plain = answer.compared and unheard and answer.request.choose is None

    def _choose(self, answer: Answer, slot: int) -> None:
        choose = answer.request.choose
        try:
            chosen = None if choose is None else choose(self.device.logits(slot), answer.tokens)
        except BackendFailed:
            raise
        except Exception as error:  # whatever a caller's function raises concerns its answer alone
            self.cancel(answer, None)
            answer.error = error
            return
        if chosen is None:
            self.cancel(answer, "stop")
        elif isinstance(chosen, int):
            self._accept(answer, chosen, self.device.choose(slot, chosen))
        elif len(chosen) == 1:
            self._accept(answer, chosen[0], self.device.choose(slot, chosen[0]))
        else:
            self._go_on(answer, slot, chosen)

    def _go_on(self, answer: Answer, slot: int, tokens: Sequence[int]) -> None:
        """Feed several chosen tokens at once: to the device they are the prompt of a job that goes on in the same slot."""
        job, start = answer.request.job, len(answer.request.job.prompt) + len(answer.tokens)
        self.device.cancel(slot)
        answer.unfed = 0
        for token in tokens:
            if token in job.stop_ids:
                self._free(answer, "stop")
                return
            answer.tokens.append(token)
            answer.unfed += 1
            if len(answer.tokens) == job.max_tokens:
                self._free(answer, "length")
                return
            if start + answer.unfed > self.device.arch.context:
                self._free(answer, "context")
                return
        left, stop_ids = job.max_tokens - len(answer.tokens), self._compared(job.stop_ids)
        self.device.submit(slot, Job(tokens, left, stop_ids, job.sampling, start, by_host=True))
        self._announce(answer)

    def _accept(self, answer: Answer, token: int, reason: FinishReason | None) -> None:
        if token in answer.request.job.stop_ids:
            answer.unfed = 0
            if reason is None:  # more stop ids than the device compares
                self.cancel(answer, "stop")
            else:
                self._free(answer, "stop")
            return
        answer.tokens.append(token)
        answer.unfed = 1
        self._announce(answer)
        if reason is not None:
            self._free(answer, reason)

    def _announce(self, answer: Answer) -> None:
        if answer.notify is not None and not answer.whole:
            self._news.add(answer)

    def _free(self, answer: Answer, reason: str | None) -> None:
        """The device is through with an answer, whose slot goes to the next one."""
        slot = answer.slot
        if slot is None:
            return
        if answer.fed:
            self._table.fed(slot, answer.tokens[answer.carried : len(answer.tokens) - answer.unfed])
        answer.counters = self.device.counters(slot)
        del self._running[slot]
        self._table.release(slot)
        self._end(answer, reason)

    def _end(self, answer: Answer, reason: str | None) -> None:
        answer.finish_reason, answer.slot = reason, None
        self._timed.discard(answer)
        if answer.notify is not None:
            self._news.add(answer)

    def _replace(self, error: BackendFailed) -> None:
        """Go on with the next device that opens: what runs starts again there, its tokens so far part of the prompt."""
        self.failures.append(f"{self.device.name}: {error}")
        interrupted = list(self._running.values())
        self._running.clear()
        with contextlib.suppress(BackendFailed):
            self.device.close()
        try:
            if not self._openers:
                raise error
            self._use(self._open())
        except BackendError:
            self._running.update(enumerate(interrupted))
            self._fail(error)
            return
        for answer in interrupted:
            answer.slot, answer.fed, answer.plain, answer.carried = None, False, False, len(answer.tokens)
            heapq.heappush(self._waiting, (answer.rank, answer))

    def _fail(self, error: BackendFailed) -> None:
        """End everything that is not done."""
        waiting = [*(entry[1] for entry in self._waiting), *self._inbox]
        for answer in [*self._running.values(), *waiting]:
            if not answer.done:
                answer.error, answer.slot = error, None
                if answer.notify is not None:
                    self._news.add(answer)
        self._running.clear()
        self._waiting.clear()
        self._inbox.clear()
        self._timed.clear()
