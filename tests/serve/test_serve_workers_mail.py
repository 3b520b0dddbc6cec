"""What was not read yet: all at once for a slow reader, an error behind what came before it."""

import asyncio

import pytest

from edgellm.errors import BackendFailed
from edgellm.serve.orders import End, Portion
from edgellm.serve.workers.mail import Mail

END = End("stop", "fake")


def read(mail):
    async def main():
        return [portion async for portion in mail.read()]

    return asyncio.run(main())


def test_a_slow_reader_gets_all_at_once():
    mail = Mail()
    mail.put([1], ["one"])
    mail.put([2, 3], ["two", "three"])
    mail.finish(END)
    assert read(mail) == [Portion([1, 2, 3], ["one", "two", "three"], END)]


def test_a_quick_reader_waits():
    async def main():
        mail = Mail()
        portions = mail.read()
        for told, want in (([1], [1]), ([2, 3], [2, 3])):
            task = asyncio.ensure_future(anext(portions))
            await asyncio.sleep(0)
            assert not task.done()
            mail.put(told)
            assert (await task).tokens == want
        assert not mail.over
        mail.finish(END)
        assert mail.over
        assert await anext(portions) == Portion([], [], END)
        with pytest.raises(StopAsyncIteration):
            await anext(portions)

    asyncio.run(main())


def test_tokens_before_an_error_are_read_first():
    async def main():
        mail = Mail()
        mail.put([1])
        mail.fail(BackendFailed("broken"))
        portions = mail.read()
        assert (await anext(portions)).tokens == [1]
        with pytest.raises(BackendFailed, match=r"^broken$"):
            await anext(portions)

    asyncio.run(main())


def test_nothing_comes_behind_the_first_end():
    mail = Mail()
    mail.fail(BackendFailed("first"))
    mail.fail(BackendFailed("second"))
    mail.put([1])
    mail.finish(END)
    with pytest.raises(BackendFailed, match=r"^first$"):
        read(mail)
