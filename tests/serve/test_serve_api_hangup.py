"""A client that goes away: its answer is cancelled at once, streaming or not, running or still in the queue."""

import asyncio
import contextlib
import json
import socket
import time

import pytest
from fakes import NAME, Endless, FakeService, Scripted, Server, said, serve
from toy import Parrot, write_model

from edgellm.runtime.llm import LLM
from edgellm.serve.api.hangup import Hangup
from edgellm.serve.app import create_app
from edgellm.serve.workers.local import LocalWorker

SECONDS = 30.0  # to wait for what must come


def request(**body) -> bytes:
    """An HTTP request for a completion."""
    raw = json.dumps({"model": NAME, "prompt": "hi", **body}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nhost: toy\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw)


def wait(condition) -> None:
    """Until it is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.002)


class Wire:
    """An ASGI client that can hang up."""

    def __init__(self, app, **body) -> None:
        self._app, self._raw = app, json.dumps({"model": NAME, "prompt": "hi", **body}).encode()
        self.gone, self.sent = asyncio.Event(), []
        self._first = True

    async def run(self) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/completions",
            "headers": [],
            "query_string": b"",
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self):
        if self._first:
            self._first = False
            return {"type": "http.request", "body": self._raw, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)


async def until(condition) -> None:
    """The same for asyncio."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_the_answer_is_cancelled(tmp_path, stream, queued, count):
    async def main():
        source = Endless()
        wire = Wire(
            create_app(FakeService([serve(tmp_path / "toy", source)])), stream=stream, n=count, temperature=1
        )
        if not queued:
            source.go.set()
        task = asyncio.create_task(wire.run())
        await until(lambda: source.running == count and (queued or not stream or len(wire.sent) > 2))
        wire.gone.set()
        async with asyncio.timeout(SECONDS):
            await task  # quietly
        assert (source.running, source.cancelled) == (0, count)
        assert not task.cancelled()
        if queued or not stream:
            assert wire.sent == []
        else:
            assert wire.sent[-1]["more_body"]

    asyncio.run(main())


def test_a_client_that_does_not_read_and_goes(tmp_path):
    async def main():
        source = Endless()
        source.go.set()
        wire = Wire(create_app(FakeService([serve(tmp_path / "toy", source)])), stream=True)
        full = asyncio.Event()

        async def send(message):
            wire.sent.append(message)
            if len(wire.sent) > 3:
                await full.wait()

        wire._send = send
        task = asyncio.create_task(wire.run())
        await until(lambda: len(wire.sent) > 3)
        wire.gone.set()
        await task
        assert (source.running, source.cancelled) == (0, 1)  # now, not when somebody collects what is left

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_ends_an_answer_closes_its_source_at_once(tmp_path, stream):
    async def main():
        source, states = Scripted(said("abcdef")), []
        wire = Wire(create_app(FakeService([serve(tmp_path / "toy", source)])), stream=stream, stop="c")

        async def send(message):
            states.append((message.get("more_body"), source.cancelled))

        wire._send = send
        await wire.run()
        assert states[-1] == (None, 1)

    asyncio.run(main())


def test_who_goes_while_sending_the_body_is_not_answered(tmp_path):
    async def main():
        source, sent = Scripted(said("x")), []
        app = create_app(FakeService([serve(tmp_path / "toy", source)]))
        messages = iter(
            [{"type": "http.request", "body": b'{"model', "more_body": True}, {"type": "http.disconnect"}]
        )

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/completions",
            "headers": [],
            "query_string": b"",
        }
        await app(scope, receive, send)
        assert (sent, source.orders) == ([], [])

    asyncio.run(main())


def test_a_body_in_several_parts_is_read(tmp_path):
    async def main():
        source, sent = Scripted(said("x")), []
        app = create_app(FakeService([serve(tmp_path / "toy", source)]))
        raw = json.dumps({"model": NAME, "prompt": "hi"}).encode()
        messages = [
            {"type": "http.request", "body": raw[:5], "more_body": True},
            {"type": "http.request", "body": raw[5:]},
        ]

        async def receive():
            return messages.pop(0) if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/completions",
            "headers": [],
            "query_string": b"",
        }
        await app(scope, receive, send)
        assert sent[0]["status"] == 200

    asyncio.run(main())


def test_a_cancellation_from_elsewhere_goes_on():
    async def main():
        async def receive():
            await asyncio.Event().wait()

        async def work():
            async with Hangup(receive):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_no_watch_is_left_behind():
    async def main():
        async def receive():
            await asyncio.Event().wait()

        before = asyncio.all_tasks()
        async with Hangup(receive) as hangup:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not hangup.gone
        assert asyncio.all_tasks() == before

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("queued", [False, True])
def test_a_closed_socket_cancels_the_answer(tmp_path, stream, queued):
    source = Endless()
    with Server(create_app(FakeService([serve(tmp_path / "toy", source)]))) as server:
        if not queued:
            source.go.set()
        host, port = server.url.removeprefix("http://").split(":")
        with contextlib.closing(socket.create_connection((host, int(port)))) as client:
            client.sendall(request(stream=stream))
            wait(lambda: source.running == 1)
            if stream and not queued:
                assert client.recv(100).startswith(b"HTTP/1.1 200")
        wait(lambda: source.running == 0)
        assert source.cancelled == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_slot_of_a_device_is_free_again(tmp_path, stream):
    parrot = Parrot(b"a" * 10_000, slots=1, delay=0.002)
    worker = LocalWorker("parrot-0", LLM(write_model(tmp_path / "toy"), [lambda: parrot]))
    served = serve(tmp_path / "toy", worker, [worker])
    with Server(create_app(FakeService([served]))) as server:
        host, port = server.url.removeprefix("http://").split(":")
        running, waiting = (socket.create_connection((host, int(port))) for _ in range(2))
        running.sendall(request(stream=stream))
        wait(lambda: worker.state().running == 1)
        waiting.sendall(request(stream=stream))
        wait(lambda: worker.state().queued == 1)
        waiting.close()
        wait(lambda: worker.state().queued == 0)
        assert worker.state().running == 1
        running.close()
        wait(lambda: worker.state().running == 0)
    assert (parrot.cancelled, len(parrot.seen)) == (1, 1)
    asyncio.run(worker.close())


def test_requests_one_behind_the_other_on_a_connection(tmp_path):
    with Server(create_app(FakeService([serve(tmp_path / "toy", Scripted(said("abc")))]))) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with contextlib.closing(socket.create_connection((host, int(port)))) as client:
            client.sendall(request() + request(stream=True) + request())  # one behind the other, unread
            found = b""
            while found.count(b'"finish_reason":"stop"') < 3 * 2:
                found += client.recv(65536)
    assert found.count(b"HTTP/1.1 200 OK") == 3
