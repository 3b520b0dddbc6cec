"""Bounds, on real sockets: what is too big, too slow, too many or no HTTP gets an answer and costs no more."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from process import until
from standin import Service, create_app

from edgellm.serve import protocol
from edgellm.serve.guard import Guard
from edgellm.serve.limits import BoundedTime, Drain, Draining
from edgellm.serve.settings import LimitSettings, SecuritySettings, Values

LIMITS = LimitSettings(
    body_kb=64,
    body_seconds=0.3,
    header_kb=8,
    header_count=20,
    header_seconds=0.3,
    keep_alive_seconds=1,
    write_seconds=0.3,
    request_seconds=1.5,
    connections=10,
)
POST = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Server:
    """One in a thread of this process, so that its insides can be looked at."""

    def __init__(self, limits: LimitSettings = LIMITS, hosts: tuple[str, ...] = ()) -> None:
        values = Values(models=("home-260k",), limits=limits, security=SecuritySettings(hosts=hosts))
        self.service = Service(values)
        self.service._models = ()
        app = create_app(self.service, Guard(values, "127.0.0.1").middlewares())
        self.bound = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(
            uvicorn.Config(
                app, http=protocol.bounded(limits), ws="none", log_config=None, timeout_keep_alive=1
            )
        )
        self._thread = threading.Thread(target=self.server.run, args=([self.bound],), daemon=True)

    def __enter__(self):
        self._thread.start()
        until(lambda: self.server.started)
        self.address = self.bound.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        return self

    def __exit__(self, *_):
        self.server.force_exit = self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @property
    def tasks(self) -> int:
        return len(self.server.server_state.tasks)


@pytest.fixture(scope="module")
def server():
    with Server() as one:
        yield one


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    yield
    if "server" in request.fixturenames:
        one = request.getfixturevalue("server")
        until(lambda: one.tasks == 0 and one.connections == 0)


def connected(server):
    made = socket.create_connection(server.address, timeout=30)
    return contextlib.closing(made)


def everything(sock) -> bytes:
    """Until the service closes; a reset counts as that."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            got += part
    return got


def told(raw: bytes) -> tuple[int, str]:
    """Status and code of an error."""
    head, _, body = raw.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert b"connection: close" in head
    return int(head.split()[1]), error["code"]


def test_a_request_within_bounds(server):
    answer = httpx.post(f"{server.url}/v1/completions", json={"a": "x" * 60_000})
    assert answer.json()["asked"] == {"a": "x" * 60_000}


# bodies


def test_a_body_that_says_it_is_too_long(server):
    answer = httpx.post(f"{server.url}/v1/completions", content=b"x" * (64 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert answer.json()["error"]["message"] == "the request's body is longer than 64 KB"


def test_a_body_is_refused_before_it_comes(server):
    with connected(server) as sock:
        sock.sendall(POST + b"content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n")
        assert told(everything(sock)) == (413, "body_too_large")


def test_a_body_in_chunks_is_counted(server):
    with connected(server) as sock:
        sock.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(65):
            sock.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert told(everything(sock)) == (413, "body_too_large")


def test_a_body_without_end_is_cut_off(server):
    sent, most = 0, 50 << 20
    with connected(server) as sock:
        sock.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while sent < most:
                sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert sent < most


def test_a_body_just_within_bounds_in_chunks(server):
    body = json.dumps({"a": "x" * (64 * 1024 - 9)}).encode()
    assert len(body) == 64 * 1024
    answer = httpx.post(f"{server.url}/v1/completions", content=iter([body[:7], body[7:]]))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "head", [b"content-length: 100\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_a_body_that_comes_too_slowly(server, head):
    with connected(server) as sock:
        sock.sendall(POST + head)
        assert told(everything(sock)) == (408, "body_too_slow")


def test_a_body_by_drops(server):
    with connected(server) as sock:
        sock.sendall(POST + b"content-length: 100000\r\n\r\n")
        end = time.monotonic() + 30
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                sock.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() < end


def test_a_client_that_leaves_in_its_body(server):
    with connected(server) as sock:
        sock.sendall(POST + b"content-length: 100\r\n\r\n{")
        until(lambda: server.tasks == 1)


# headers


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "])
def test_headers_that_come_too_slowly(server, sent):
    with connected(server) as sock:
        sock.sendall(sent)
        assert told(everything(sock)) == (408, "headers_too_slow")


def test_headers_by_drops_on_a_kept_connection(server):
    with connected(server) as sock:
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        for byte in b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"x-slow: " + b"y" * 2_000:
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.01)
        else:
            pytest.fail("the service took a header by drops for more than 20 s")


def test_an_idle_connection_is_closed(server):
    with connected(server) as sock:
        sock.sendall(GET)
        assert everything(sock).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 20 + b"\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 8192 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"y" * 9000,
        b"GET /" + b"y" * 9000,
        b"GET /" + b"y" * 8200 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
)
def test_headers_that_are_too_big_or_too_many(server, sent):
    with connected(server) as sock:
        sock.sendall(sent)
        assert told(everything(sock)) == (431, "headers_too_large")


def test_a_header_without_end(server):
    with connected(server) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ")
        sent, most = 0, 1 << 20
        with contextlib.suppress(OSError):
            while sent < most:
                sock.sendall(b"y" * 1024)
                sent += 1024
                time.sleep(0.0005)
    assert sent < most


def test_headers_just_within_bounds(server):
    with connected(server) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 19 + b"\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 7000 + b"\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")


# HTTP


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http(server, sent):
    with connected(server) as sock:
        sock.sendall(sent)
        raw = everything(sock)
    assert not raw or told(raw) in [(400, "invalid_http"), (408, "headers_too_slow")]


@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"TRACE", b"PATCH", b"OPTIONS", b"CONNECT"])
def test_wrong_methods(server, method):
    with connected(server) as sock:
        sock.sendall(method + b" /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        status = int(everything(sock).split()[1])
    assert status in (400, 405)


def test_an_upgrade_is_not_taken(server):
    with connected(server) as sock:
        sock.sendall(
            b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert everything(sock).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(server):
    bodies = [json.dumps({"n": number}).encode() for number in range(50)]
    with connected(server) as sock:
        sock.sendall(b"".join(POST + b"content-length: %d\r\n\r\n" % len(body) + body for body in bodies))
        got = b""
        while got.count(b'"n":') < 50:
            got += sock.recv(65536)
    assert [int(part.split(b"}")[0]) for part in got.split(b'"n":')[1:]] == list(range(50))


def test_a_bad_request_behind_a_good_one_does_not_mix_into_its_answer(server):
    slow = json.dumps({"chunks": 3, "pause": 0.1}).encode()
    with connected(server) as sock:
        sock.sendall(POST + b"content-length: %d\r\n\r\n" % len(slow) + slow)
        got = sock.recv(65536)
        sock.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " not in got + everything(sock)


def test_a_client_that_closes_its_half_is_taken_to_have_left(server):
    body = json.dumps({"chunks": 1000, "pause": 0.01}).encode()
    with connected(server) as sock:
        sock.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: server.service.running == 1)
        sock.shutdown(socket.SHUT_WR)
        until(lambda: server.service.running == 0)
        assert b"[DONE]" not in everything(sock)


# readers, time, connections


def test_a_client_that_does_not_read_is_cut_off(server):
    body = json.dumps({"chunks": 10_000, "pad": 100_000}).encode()
    with contextlib.closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        sock.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        until(lambda: server.service.running == 1)
        until(lambda: server.service.running == 0)
        until(lambda: server.connections == 0)


def test_a_client_that_reads_slowly_but_reads_is_served(server):
    limits = LIMITS.model_copy(update={"request_seconds": 60.0})
    with Server(limits) as patient, contextlib.closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(patient.address)
        body = json.dumps({"chunks": 40, "pad": 100_000}).encode()
        sock.sendall(POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        got, begun = b"", time.monotonic()
        while part := sock.recv(65536):
            got += part
            time.sleep(0.02)
    assert b"[DONE]" in got
    assert time.monotonic() - begun > LIMITS.write_seconds


def test_a_request_that_takes_too_long_ends(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        streamed = {"chunks": 1000, "pause": 0.05}
        with (
            client.stream("POST", "/v1/completions", json=streamed) as stream,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            list(stream.iter_lines())


def test_a_request_that_has_no_answer_in_time_is_told_so():
    async def app(scope, receive, send):
        await asyncio.sleep(60)

    values = Values(models=("m",), limits=LIMITS.model_copy(update={"request_seconds": 0.05}))
    transport = httpx.ASGITransport(Guard(values, "127.0.0.1").around(app))

    async def main():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/models")

    answer = asyncio.run(main())
    assert answer.status_code == 504
    assert answer.json()["error"] == {
        "message": "the request was not answered within 0.05 s",
        "type": "server_error",
        "param": None,
        "code": "request_timeout",
    }


def test_a_response_that_has_begun_begins_no_second_time():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    asyncio.run(BoundedTime(app, 0.01)({"type": "http"}, None, send))
    assert [message["status"] for message in sent] == [200]


def test_too_many_connections():
    limits = LIMITS.model_copy(update={"connections": 3, "header_seconds": 30.0})
    with Server(limits) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(3)]
        until(lambda: server.connections == 3)
        with connected(server) as sock:
            raw = everything(sock)
        assert told(raw) == (503, "too_many_connections")
        assert b"retry-after: 1" in raw
        held[0].close()
        until(lambda: server.connections == 2)
        assert httpx.get(f"{server.url}/health").status_code == 200


# browsers


def test_no_response_lets_other_origins_read_it(server):
    for method, path in [
        ("GET", "/"),
        ("GET", "/v1/models"),
        ("OPTIONS", "/v1/completions"),
        ("GET", "/none"),
    ]:
        for headers in ({}, {"Origin": server.url}, {"Origin": "http://evil.example"}):
            answer = httpx.request(method, server.url + path, headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_are_framed_by_nobody_and_load_nothing_from_elsewhere(server):
    answer = httpx.get(server.url)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "content-security-policy" not in httpx.get(f"{server.url}/v1/models").headers


def asked(server, **headers) -> tuple[int, str]:
    answer = httpx.get(f"{server.url}/health", headers=headers)
    return answer.status_code, answer.json()["error"]["code"] if answer.status_code != 200 else ""


@pytest.mark.parametrize(
    ("host", "well"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:1", True),
        ("[::1]:80", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("", False),
        ("169.254.169.254", False),
    ],
)
def test_other_names_are_refused_on_this_machine(server, host, well):
    assert asked(server, host=host) == ((200, "") if well else (403, "host_not_allowed"))


def test_names_can_be_added():
    with Server(hosts=("Edge.example",)) as server:
        assert asked(server, host="edge.example:443")[0] == 200
        assert asked(server, host="other.example") == (403, "host_not_allowed")


def test_pages_of_other_origins_are_refused(server):
    assert asked(server, origin=server.url)[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "file://"):
        assert asked(server, origin=origin) == (403, "origin_not_allowed")


def test_one_host_and_no_more(server):
    with connected(server) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n")
        assert told(everything(sock)) == (400, "invalid_host")
    with connected(server) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        assert told(everything(sock)) == (400, "invalid_host")
    with connected(server) as sock:
        origin = b"origin: http://localhost\r\n"
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + 2 * origin + b"\r\n")
        assert told(everything(sock)) == (400, "invalid_host")


def test_draining_refuses_all_but_probes():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def main():
        sent = []

        async def send(message):
            sent.append(message)

        drain = Drain()
        draining = Draining(app, drain)
        for on in (False, True):
            drain.on = on
            for path in ("/v1/models", "/health", "/ready", "/metrics"):
                await draining({"type": "http", "path": path}, None, send)
        return [message["status"] for message in sent if "status" in message]

    assert asyncio.run(main()) == [200, 200, 200, 200, 503, 200, 200, 200]
