"""The Redis store on a real server: shared, bounded in time, and no harm when the server dies, hangs or lies."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from caching import OWNER, Script, answer, collect, kept, order, until
from toy import write_model

from edgellm.errors import StoreFailed
from edgellm.runtime.model import Model
from edgellm.serve.cache.answers import encode
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.redis import RedisStore
from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.cache.source import CachedSource
from edgellm.serve.cache.stores import Entry

pytestmark = pytest.mark.programs
KEY = bytes(32)
SECONDS = 10.0  # of tests that are not about time


class Server:
    """redis-server on a socket of its own; `start` again after `kill`."""

    def __init__(self, *options):
        self.folder = Path(tempfile.mkdtemp(prefix="edgellm-redis-"))
        self.socket, self.options, self.process = self.folder / "redis.sock", options, None
        self.start()

    @property
    def url(self):
        return f"unix://{self.socket}"

    def start(self):
        command = [
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.DEVNULL)
        for _ in range(3000):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            time.sleep(0.01)
        raise TimeoutError(command)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self.folder)


@pytest.fixture
def server():
    started = Server()
    yield started
    started.close()


@pytest.fixture
def model(tmp_path):
    return Model(write_model(tmp_path / "toy"))


def using(url, act, keep=60.0, seconds=SECONDS):
    """Run `act(store)` on a store, which is closed afterwards."""

    async def main():
        store = RedisStore(url, keep, seconds)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(main())


def entry(number, model="d1", value=b"value"):
    return Entry(model, number.to_bytes(32, "big"), value)


def test_what_is_put_is_there_for_every_service(server):
    async def put(store):
        await store.put([entry(1), entry(2, value=b"\x00\xff")])
        await store.drop("d1", entry(1).key)

    async def get(store):
        return [await store.get("d1", entry(number).key) for number in (1, 2, 3)]

    using(server.url, put)
    assert using(server.url, get) == [None, b"\x00\xff", None]


def test_clear_all_or_one_model_and_nothing_of_others(server):
    async def main(store):
        await store._redis.set("precious", "1")
        await store.put([entry(number, model) for number in range(1500) for model in ("d1", "d2")])
        first, figures = await store.clear("d1"), await store.figures()
        assert await store.get("d2", entry(7).key)
        return first, figures.entries, await store.clear(), (await store.figures()).entries

    assert using(server.url, main) == (1500, 1501, 1500, 1)


def test_answers_go_when_their_time_is_over(server):
    async def main(store):
        await store.put([entry(1)])
        await until_async(lambda: store.get("d1", entry(1).key))

    using(server.url, main, keep=0.05)


async def until_async(get):
    async with asyncio.timeout(30):
        while await get() is not None:
            await asyncio.sleep(0.005)


def test_a_password_is_used_and_never_shown():
    server = Server("--requirepass", "hunter2")
    try:

        async def main(store):
            with pytest.raises(StoreFailed) as caught:
                await store.put([entry(1)])
            return str(caught.value)

        for address in (server.url, f"unix://:wrong-hunter@{server.socket}"):
            message = using(address, main)
            assert message.startswith(f"Redis at {server.socket}: ")
            assert "hunter" not in message
        using(f"unix://:hunter2@{server.socket}", lambda store: store.put([entry(1)]))
    finally:
        server.close()


def test_nobody_there():
    with socket.socket() as held:  # bound, not listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(StoreFailed, match=rf"^Redis at 127\.0\.0\.1:{port}: "):
            using(f"redis://:secret@127.0.0.1:{port}", lambda store: store.get("d1", KEY))


@pytest.mark.parametrize("connected", [False, True])
def test_a_server_that_hangs_is_not_waited_for(server, connected):
    async def main(store):
        if connected:
            await store.get("d1", KEY)
        server.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(4):  # less than the library waits by itself
            with pytest.raises(StoreFailed, match=r"^Redis at"):
                await store.get("d1", KEY)

    using(server.url, main, seconds=0.2)


def test_a_burst_shares_few_connections(server):
    async def main(store):
        await store.put([entry(1)])
        found = await asyncio.gather(*(store.get("d1", entry(1).key) for _ in range(500)))
        assert found == [b"value"] * 500
        assert len(await store._redis.client_list()) <= 17

    using(server.url, main)


@pytest.mark.parametrize(
    "raw", [b"", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", encode(b"\1" * 32, kept(1)), b'{"tokens":[1]}']
)
def test_poison_is_a_miss_and_deleted(server, raw):
    async def main(store):
        cache = ResponseCache(Guard(store, SECONDS), 60.0, clock=lambda: 0.0)
        await store.put([Entry("d1", KEY, raw)])
        assert await cache.find(OWNER, KEY, None) is None
        await until_async(lambda: store.get("d1", KEY))

    using(server.url, main)


def test_two_services_share_answers(server, model):
    async def main(store):
        other = RedisStore(server.url, 60.0, SECONDS)
        first, second = (ResponseCache(Guard(one, SECONDS), 60.0) for one in (store, other))
        await collect(CachedSource(Script(*answer(65)), first, model, "toy", "d1"), order())
        await until(lambda: first.figures().stored)
        found = await collect(CachedSource(Script(), second, model, "toy", "d1"), order())
        await second.close()
        return found[0], found[2].origin

    assert using(server.url, main) == ([65], "cache")


def test_a_server_killed_and_restarted_under_load_fails_no_request(server, model):
    """Every answer is right all the time; afterwards the server is used again."""

    class Echo:
        async def stream(self, order):
            async for portion in Script(*answer(*order.prompt)).stream(order):
                yield portion

    class Soon:
        """A clock on which pauses pass quickly."""

        def __call__(self):
            return time.monotonic() * 50

    async def main(store):
        guard = Guard(store, SECONDS, Soon())
        cache = ResponseCache(guard, 60.0, memory_bytes=2_000)
        source, done, stop = CachedSource(Echo(), cache, model, "toy", "d1"), [], False

        async def client(number):
            count = 0
            while not stop:
                prompt = (1 + number, 1 + count % 40)
                tokens, _, end = await collect(source, order(*prompt))
                assert tokens == list(prompt)
                done.append(end.origin)
                count += 1
                await asyncio.sleep(0)

        clients = [asyncio.create_task(client(number)) for number in range(8)]
        try:
            await until(lambda: done.count("cache") > 50)
            for _ in range(2):
                await asyncio.to_thread(server.kill)
                await until(lambda: guard.reason)
                before = len(done)
                await until(lambda before=before: len(done) > before + 200)
                await asyncio.to_thread(server.start)
                await until(lambda: not guard.reason)
                before = done.count("cache")
                await until(lambda before=before: done.count("cache") > before + 50)
        finally:
            stop = True
            await asyncio.gather(*clients)
        await cache.close()

    using(server.url, main)
