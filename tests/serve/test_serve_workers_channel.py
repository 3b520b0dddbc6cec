"""Frames between processes: whole messages in order whatever the cuts, together within a turn, nothing without a limit."""

import asyncio
import socket

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.serve.workers import channel
from edgellm.serve.workers.channel import HEAD, MOST_BYTES, Channel


class Wire:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written, self.aborted = [], False

    def write(self, data):
        self.written.append(data)

    def abort(self):
        self.aborted = True


class Ends:
    """Two connected channels, and what they got."""

    async def __aenter__(self):
        self.got, self.lost, self.news = ([], []), [], asyncio.Event()
        loop, pair = asyncio.get_running_loop(), socket.socketpair()
        self.ends = [Channel(self.taker(self.got[i]), self.lost.append) for i in range(2)]
        for end, own in zip(self.ends, pair, strict=True):
            await loop.create_unix_connection(lambda end=end: end, sock=own)
        return self

    def taker(self, got):
        def take(message):
            got.append(message)
            self.news.set()

        return take

    async def until(self, condition):
        for _ in range(30_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise TimeoutError

    async def __aexit__(self, *_):
        for end in self.ends:
            end.abort()
        await self.until(lambda: len(self.lost) == 2)


def frame(*messages):
    data = orjson.dumps(messages)
    return len(data).to_bytes(HEAD, "big") + data


def opened(took=None, lost=None):
    got, why = [], []
    one, wire = Channel(took or got.append, lost or why.append), Wire()
    one.connection_made(wire)
    return one, wire, got, why


def test_messages_go_both_ways_in_order():
    async def main():
        async with Ends() as ends:
            for number in range(100):
                ends.ends[0].send(["there", number, "ü" * number])
                ends.ends[1].send(["back", number, {"1": 0.1}])
                if number % 7 == 0:
                    await asyncio.sleep(0)
            await ends.until(lambda: len(ends.got[0]) == len(ends.got[1]) == 100)
            assert ends.got[1] == [["there", number, "ü" * number] for number in range(100)]
            assert ends.got[0] == [["back", number, {"1": 0.1}] for number in range(100)]

    asyncio.run(main())


def test_what_is_sent_in_a_turn_goes_together():
    async def main():
        one, wire, _, _ = opened()
        one.send(["a"])
        one.send(["b", {3: 4.0}])
        assert wire.written == []
        await asyncio.sleep(0)
        one.send(["c"])
        await asyncio.sleep(0)
        assert wire.written == [frame(["a"], ["b", {"3": 4.0}]), frame(["c"])]

    asyncio.run(main())


@given(
    st.lists(st.lists(st.lists(st.integers(), max_size=3), max_size=4), max_size=5),
    st.lists(st.integers(1, 9)),
)
def test_frames_may_be_cut_anywhere(frames, cuts):
    frames = [[["kind", *(n % 1000 for n in message)] for message in one] for one in frames]
    data = b"".join(frame(*one) for one in frames)
    one, _, got, _ = opened()
    for cut in cuts:
        one.data_received(data[:cut])
        data = data[cut:]
    one.data_received(data)
    assert got == [message for messages in frames for message in messages]


def test_a_large_message_and_many_of_them(monkeypatch):
    monkeypatch.setattr(channel, "MOST_BYTES", 1000)

    async def main():
        one, wire, _, _ = opened()
        for _ in range(3):
            one.send(["x" * 500])
        await asyncio.sleep(0)
        assert wire.written == [frame(["x" * 500])] * 3
        with pytest.raises(ValueError, match=r"^a message has 1104 bytes, and 998 may go$"):
            one.send(["x" * 1100])
        with pytest.raises(TypeError):
            one.send([object()])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xff\xff\xff", f"a frame of 4294967295 bytes came, and {MOST_BYTES} may"),
        (b"\0\0\0\2{]", "a message makes no sense (JSONDecodeError: "),
        (frame(1), "a message makes no sense (TypeError: "),
        (frame([]), "a message makes no sense (IndexError: "),
    ],
)
def test_nonsense_closes_the_channel(data, why):
    one, wire, _, lost = opened(took=lambda message: message[0])
    one.data_received(data + frame(["more"]))
    assert wire.aborted
    one.connection_lost(None)
    assert [text[: len(why)] for text in lost] == [why]


def test_the_other_end_goes_away():
    async def main():
        async with Ends() as ends:
            ends.ends[0].abort()
            await ends.until(lambda: len(ends.lost) == 2)
            assert sorted(ends.lost) == ["closed here", "the other end is gone"]
            ends.ends[1].send(["nobody"])  # gets lost
            await asyncio.sleep(0)

    asyncio.run(main())
