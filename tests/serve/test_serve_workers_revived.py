"""Opened again: at once first, later and later, for good only when closed."""

import asyncio

import pytest

from edgellm.errors import BackendFailed, BackendUnavailable, UsageError
from edgellm.serve.orders import End, Portion, WorkerState
from edgellm.serve.workers.revived import KEPT, SOUND, Revived


class Fake:
    """A worker that answers, or raises what it is told."""

    name, slots = "fake-0", 2

    def __init__(self, number):
        self.backend, self.error, self.closed, self.alive = f"fake{number}", None, 0, True
        self.failures = ()

    def state(self):
        return WorkerState(self.alive, failures=self.failures)

    async def stream(self, order):
        yield Portion([1])
        if self.error:
            raise self.error
        yield Portion((), end=End("stop", self.backend))

    async def close(self):
        self.closed += 1


class Setup:
    """A revived worker whose clock and pauses are made up; `against` has what its openings raise."""

    def __init__(self, *against):
        self.against, self.made, self.died, self.pauses, self.now = list(against), [], [], [], 0.0
        self.told = 0
        self.worker = Revived("fake-0", self.open, lambda: self.now, self.sleep)
        self.worker.listeners.append(self.tell)

    async def open(self, died):
        error = self.against.pop(0) if self.against else None
        if error:
            raise error
        self.made.append(Fake(len(self.made)))
        self.died.append(died)
        return self.made[-1]

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def tell(self):
        self.told += 1

    async def read(self):
        return [portion async for portion in self.worker.stream(None)]

    async def breaks(self):
        self.made[-1].error = BackendFailed("broken")
        with pytest.raises(BackendFailed, match=r"^broken$"):
            await self.read()

    async def revived(self):
        for _ in range(1000):
            if self.worker.state().alive:
                return
            await asyncio.sleep(0)
        raise TimeoutError


def test_a_worker_that_breaks_is_closed_and_opened_again_at_once():
    async def main():
        setup = Setup()
        await setup.worker.open()
        assert (await setup.read())[-1].end.backend == "fake0"
        await setup.breaks()
        assert setup.worker.state() == WorkerState(False)
        assert (setup.worker.backend, setup.worker.slots) == ("fake0", 2)
        with pytest.raises(BackendFailed, match=r"^worker fake-0: it is being opened again$"):
            await setup.read()
        await setup.revived()
        assert (await setup.read())[-1].end.backend == "fake1"
        assert (setup.made[0].closed, setup.pauses, setup.told) == (1, [0.0], 2)
        assert setup.worker.state() == WorkerState(True, failures=("broken",))
        await setup.worker.close()

    asyncio.run(main())


def test_a_worker_that_dies_while_nobody_reads():
    async def main():
        setup = Setup()
        await setup.worker.open()
        setup.died[0]()  # it lives
        assert setup.worker.state().alive
        setup.made[0].alive, setup.made[0].failures = False, ("ended by SIGKILL",)
        setup.died[0]()
        setup.died[0]()
        await setup.revived()
        setup.died[0]()  # what the first one says is of no interest any more
        assert (len(setup.made), setup.worker.state().failures) == (2, ("ended by SIGKILL",))
        await setup.worker.close()

    asyncio.run(main())


def test_many_answers_of_a_broken_worker_open_one():
    async def main():
        setup = Setup()
        await setup.worker.open()
        setup.made[0].error = BackendFailed("broken")
        await asyncio.gather(*(setup.read() for _ in range(5)), return_exceptions=True)
        await setup.revived()
        assert len(setup.made) == 2
        await setup.worker.close()

    asyncio.run(main())


def test_an_answer_that_fails_late_does_not_break_the_next_worker():
    async def main():
        setup = Setup()
        await setup.worker.open()
        setup.made[0].error = BackendFailed("broken")
        late = setup.worker.stream(None)
        await anext(late)
        await setup.breaks()
        await setup.revived()
        with pytest.raises(BackendFailed):
            await anext(late)
        assert setup.worker.state().alive
        await setup.worker.close()

    asyncio.run(main())


def test_pauses_double_and_a_worker_that_fails_to_open_is_lost_for_now():
    async def main():
        setup = Setup(None, *(BackendUnavailable(f"no device {number}") for number in range(9)))
        await setup.worker.open()
        await setup.breaks()
        lost = []
        setup.worker.listeners.append(lambda: lost.append(setup.worker.state().lost))
        await setup.revived()
        assert setup.pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
        assert lost == [False, False, *[True] * 7, False]
        assert setup.worker.state().failures == tuple(f"no device {number}" for number in range(9))[-KEPT:]
        await setup.worker.close()

    asyncio.run(main())


@pytest.mark.parametrize(("life", "pauses"), [(SOUND - 1, [0.0, 0.5, 1.0]), (SOUND, [0.0, 0.0, 0.0])])
def test_a_worker_that_never_lasts_is_opened_later_and_later(life, pauses):
    async def main():
        setup = Setup()
        await setup.worker.open()
        for _ in pauses:
            setup.now += life
            await setup.breaks()
            await setup.revived()
        assert setup.pauses == pauses
        await setup.worker.close()

    asyncio.run(main())


def test_an_order_s_own_error_breaks_nothing():
    async def main():
        setup = Setup()
        await setup.worker.open()
        setup.made[0].error = UsageError("no such token")
        with pytest.raises(UsageError):
            await setup.read()
        assert setup.worker.state() == WorkerState(True)
        await setup.worker.close()

    asyncio.run(main())


def test_a_first_opening_that_fails_says_so_and_may_be_tried_again():
    async def main():
        setup = Setup(BackendUnavailable("no device"))
        with pytest.raises(BackendUnavailable, match=r"^no device$"):
            await setup.worker.open()
        setup.worker.retry(BackendUnavailable("no device"))
        await setup.revived()
        assert setup.worker.state() == WorkerState(True, failures=("no device",))
        await setup.worker.close()

    asyncio.run(main())


def test_closed_for_good():
    async def main():
        setup = Setup(None, *[BackendUnavailable("no device")] * 1000)
        await setup.worker.open()
        await setup.breaks()
        await setup.worker.close()
        await setup.worker.close()
        tries = len(setup.pauses)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(setup.pauses) == tries
        assert setup.worker.state().lost
        with pytest.raises(BackendFailed, match=r"^worker fake-0: it is closed$"):
            await setup.read()

    asyncio.run(main())
