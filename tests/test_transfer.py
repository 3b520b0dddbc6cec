"""Files over HTTP: resumed after every kind of break, checked, and never longer than promised."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from web import Server

from edgellm import transfer
from edgellm.errors import DownloadFailed

CONTENT = random.Random(1).randbytes(300_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    running = Server(CONTENT)
    yield running
    running.close()


@pytest.fixture
def part(tmp_path):
    return tmp_path / "part"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)


def fetch(server, part) -> None:
    transfer.fetch(server.url, part, SIZE, SHA256)
    assert part.read_bytes() == CONTENT


def failure(server, part, size=SIZE, sha256=SHA256) -> str:
    with pytest.raises(DownloadFailed) as caught:
        transfer.fetch(server.url, part, size, sha256)
    return str(caught.value).removeprefix(f"{server.url}: ")


def test_in_one_go(server, part):
    fetch(server, part)
    assert server.requests == [None]
    fetch(server, part)
    assert server.requests == [None]  # it was all there


def test_goes_on_where_an_earlier_call_stopped(server, part):
    part.write_bytes(CONTENT[:123_456])
    fetch(server, part)
    assert server.requests == ["bytes=123456-"]


def test_a_server_that_breaks_off_again_and_again(server, part):
    server.faults = [("cut", 10_000)] * 8
    fetch(server, part)
    assert server.requests == [None, *(f"bytes={10_000 * i}-" for i in range(1, 9))]


def test_a_server_without_ranges(server, part):
    server.faults = [("cut", 10_000), ("whole",)]
    fetch(server, part)


def test_a_server_that_is_busy_for_a_while(server, part):
    server.faults = [("status", 503), ("status", 429), ("cut", 5), ("status", 500)]
    fetch(server, part)


def test_a_server_that_stays_away_keeps_what_is_there(server, part):
    server.faults = [("cut", 10_000), *[("status", 503)] * 5]
    assert failure(server, part) == (
        "the server says 503 Service Unavailable; 10,000 of 300,000 bytes are here: run the command again to go on"
    )
    assert part.read_bytes() == CONTENT[:10_000]
    fetch(server, part)


def test_no_server(server, part):
    server.close()
    assert failure(server, part).startswith("no connection ([Errno ")


def test_a_server_that_falls_silent(server, part, monkeypatch):
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.faults = [("silent", 2.0)]
    assert failure(server, part) == (
        "no connection (timed out); 0 of 300,000 bytes are here: run the command again to go on"
    )


@pytest.mark.parametrize("code", [403, 404, 410])
def test_what_the_server_will_never_give(server, part, code):
    server.faults = [("status", code)]
    assert failure(server, part).startswith(f"the server says {code} ")
    assert len(server.requests) == 1


def test_another_file_is_noticed_by_its_length(server, part):
    assert failure(server, part, size=SIZE - 1) == (
        "300,000 bytes, expected 299,999: the server has another file"
    )


def test_another_file_is_noticed_by_its_checksum(server, part):
    wrong = hashlib.sha256(b"").hexdigest()
    assert failure(server, part, sha256=wrong) == (
        f"SHA-256 {SHA256[:16]}..., expected {wrong[:16]}...: the server has another file; nothing of it is kept"
    )
    assert not part.exists()


def test_a_beginning_of_something_else_is_fetched_again(server, part):
    part.write_bytes(bytes(1000))
    fetch(server, part)
    assert server.requests == ["bytes=1000-", None]
    part.write_bytes(bytes(400_000))
    fetch(server, part)


def test_a_server_that_gives_the_wrong_range(server, part):
    part.write_bytes(CONTENT[:1000])
    server.faults = [("shift", 5)]
    assert failure(server, part) == "the server gives bytes from 1005 on, asked for those from 1000 on"


def test_a_server_that_gives_and_takes_ends(server, part):
    """Half of it, then 416, for ever."""
    server.faults = [("cut", 1000), ("status", 416)] * 20
    assert "416" in failure(server, part) or "broke off" in failure(server, part)
    assert len(server.requests) < 20


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", "HTTP"])
def test_only_the_web(part, address):
    with pytest.raises(DownloadFailed, match="not an address that can be fetched"):
        transfer.fetch(address, part, 1, SHA256)
    assert not part.exists()


def test_a_full_disk_is_not_taken_for_the_network(server, part, monkeypatch):
    class Full(type(part)):
        def open(self, *arguments, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        transfer.fetch(server.url, Full(part), SIZE, SHA256)
    assert len(server.requests) == 1


def test_killed_and_gone_on_with(server, part):
    """kill -9 in the middle; another process needs what is missing, no more."""
    server.pause = 0.2
    code = "import sys; from pathlib import Path; from edgellm import transfer; " + (
        "transfer.fetch(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
    )
    command = [sys.executable, "-c", code, server.url, str(part), str(SIZE), SHA256]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (part.exists() and part.stat().st_size > 20_000):
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    have = part.stat().st_size
    assert 20_000 < have < SIZE
    server.pause = 0.0
    fetch(server, part)
    assert server.requests == [None, f"bytes={have}-"]
