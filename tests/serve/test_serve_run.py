"""The process: where it listens, how it ends under load, what it takes anew, what systemd is told."""

import contextlib
import os
import signal
import socket
import ssl
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
import trustme
from process import Process, serving, until

from edgellm.errors import ConfigError
from edgellm.serve import keys, sockets, tls
from edgellm.serve.settings import SecuritySettings


def refused(*arguments, **environment) -> str:
    """What a service says that does not start."""
    process = Process("home-260k", "--port", "0", *arguments, **environment)
    assert process.wait() == 2
    until(lambda: "" in process.errors)
    return "".join(process.errors)


def chunks(response) -> list[str]:
    return [line.removeprefix("data: ") for line in response.iter_lines() if line]


def test_one_line_tells_where():
    with serving() as process:
        assert process.line == f"edgellm serves home-260k at {process.url}\n"
        assert process.url.startswith("http://127.0.0.1:")
        answer = httpx.post(f"{process.url}/v1/completions", json={"a": 1})
        assert answer.json()["asked"] == {"a": 1}
        assert "server" not in answer.headers
        assert process.stop() == 0
        until(lambda: "closed\n" in process.errors)


def test_a_stream_goes_on_after_sigterm_and_new_requests_are_told_to_come_again(tmp_path):
    body = {"chunks": 20, "until": str(tmp_path / "go")}
    with serving() as process, httpx.Client(base_url=process.url) as kept, httpx.Client() as other:
        assert kept.get("/ready").status_code == 200
        with other.stream("POST", f"{process.url}/v1/completions", json=body) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "data: 0"
            process.signal(signal.SIGTERM)
            until(lambda: kept.get("/ready").status_code == 503)
            late = kept.post("/v1/completions", json={})
            assert (late.status_code, late.headers["retry-after"]) == (503, "5")
            assert late.json()["error"]["code"] == "shutting_down"
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{process.url}/health")
            (tmp_path / "go").touch()
            assert [line for line in lines if line][-2:] == ["data: 19", "data: [DONE]"]
        assert process.wait() == 0


def test_an_answer_that_takes_too_long_to_drain_ends_with_an_error():
    with serving("--drain-seconds", "0.2") as process:
        with httpx.stream(
            "POST", f"{process.url}/v1/completions", json={"chunks": 10_000, "pause": 0.02}
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            process.signal(signal.SIGINT)
            rest = [line for line in lines if line]
        assert rest[-1] == 'data: {"error": {"code": "shutting_down"}}'
        assert process.wait() == 0


def test_a_second_signal_ends_at_once():
    endless = {"chunks": 10_000, "pause": 0.02}
    with (
        serving("--drain-seconds", "300") as process,
        httpx.stream("POST", f"{process.url}/v1/completions", json=endless) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        process.signal(signal.SIGTERM)
        until(lambda: not connects(process.url))
        process.signal(signal.SIGTERM)
        assert process.wait() == 1
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
            list(lines)


def connects(url: str) -> bool:
    host, port = url.split("://")[1].split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError:
        return False
    return True


def test_a_signal_while_models_are_loaded():
    process = Process("home-260k", "--port", "0", OPENING="100")
    try:
        until(lambda: catches(process.pid, signal.SIGHUP))
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.kill()


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of a signal."""
    with open(f"/proc/{pid}/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


def test_sighup_takes_models_and_keys_without_dropping_a_stream(tmp_path):
    config, file = tmp_path / "edgellm.toml", tmp_path / "keys.json"
    key = keys.add(file, "first")
    config.write_text(f'port = 0\nmodels = ["home-260k"]\nsecurity.keys = "{file}"')
    process = Process("--config", str(config)).listening()
    first = {"Authorization": f"Bearer {key}"}
    body = {"chunks": 20, "until": str(tmp_path / "go")}
    try:
        assert httpx.get(f"{process.url}/v1/models", headers=first).json() == ["home-260k"]
        with httpx.stream("POST", f"{process.url}/v1/completions", json=body, headers=first) as stream:
            second = {"Authorization": f"Bearer {keys.add(file, 'second')}"}
            keys.remove(file, "first")
            config.write_text(f'port = 0\nmodels = ["household-260k"]\nsecurity.keys = "{file}"')
            process.signal(signal.SIGHUP)
            until(lambda: httpx.get(f"{process.url}/v1/models", headers=second).text == '["household-260k"]')
            (tmp_path / "go").touch()
            assert chunks(stream)[-2:] == ["19", "[DONE]"]
        assert httpx.get(f"{process.url}/v1/models", headers=first).status_code == 401
        config.write_text("port = nonsense")
        process.signal(signal.SIGHUP)
        until(
            lambda: any("reload failed, what it concerns stays as it was" in line for line in process.errors)
        )
        assert httpx.get(f"{process.url}/v1/models", headers=second).json() == ["household-260k"]
        assert process.stop() == 0
    finally:
        process.kill()


def test_beyond_this_machine_only_with_keys(tmp_path):
    assert refused("--host", "0.0.0.0") == (
        "edgellm: error: listening on 0.0.0.0 needs API keys, or whoever reaches this machine could use the service: "
        "make one with `edgellm keys add NAME` and give --keys FILE (security.keys), or listen on 127.0.0.1\n"
    )
    keys.add(tmp_path / "keys.json", "a")
    with serving("--host", "0.0.0.0", "--keys", str(tmp_path / "keys.json")) as process:
        local = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{local}/health").status_code == 200
        assert httpx.get(f"{local}/v1/models").status_code == 401


def test_a_model_that_cannot_be_loaded():
    process = Process("no-such", "--port", "0")
    assert process.wait() == 2
    until(lambda: "" in process.errors)
    assert process.errors[0] == "closed\n"
    assert process.errors[1].startswith("edgellm: error: no-such: no such folder and no model of that name. ")


def test_a_port_that_is_taken():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^cannot listen on 127.0.0.1:{port}: Address already in use: choose"
        ):
            sockets.bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"^host 'no such' is no address of this machine: "):
        sockets.bind("no such", 0)
    with pytest.raises(ConfigError, match=r"^cannot listen on 192.0.2.1:0: Cannot assign requested address"):
        sockets.bind("192.0.2.1", 0)


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_urls(host, url):
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        host, url = "localhost", "http://127.0.0.1:"
    with contextlib.closing(sockets.bind(host, 0)) as bound:
        assert sockets.url(bound, "http").startswith(url)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def issued(authority, folder, name="a", **options) -> tuple[str, str]:
    """Files of a certificate and its key."""
    made = authority.issue_cert("127.0.0.1", "localhost", **options)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return str(certificate), str(key)


def trusting(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serial(url: str, context) -> str:
    host, port = url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host) as to,
    ):
        return to.getpeercert()["serialNumber"]


def test_tls_and_a_new_certificate_by_sighup(authority, tmp_path):
    certificate, key = issued(authority, tmp_path)
    context = trusting(authority)
    with serving("--tls-certificate", certificate, "--tls-key", key) as process:
        assert process.url.startswith("https://127.0.0.1:")
        with httpx.Client(verify=context, base_url=process.url) as client:
            assert client.get("/health").text == "ok"
            before = serial(process.url, context)
            issued(authority, tmp_path)
            process.signal(signal.SIGHUP)
            until(lambda: serial(process.url, context) != before)
            assert client.get("/health").text == "ok"
        after = serial(process.url, context)
        (tmp_path / "a.key").write_text("broken")
        process.signal(signal.SIGHUP)
        until(lambda: any("reload failed" in line for line in process.errors))
        assert serial(process.url, context) == after
        assert process.stop() == 0


def of(certificate, key):
    return tls.of(SecuritySettings(tls_certificate=certificate, tls_key=key))


def test_tls_files_are_checked(authority, tmp_path):
    one, two = issued(authority, tmp_path, "one"), issued(authority, tmp_path, "two")
    assert of(*one).expires() > datetime.now(timezone.utc)
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    expired = issued(
        authority, tmp_path, "old", not_before=yesterday - timedelta(days=2), not_after=yesterday
    )
    (tmp_path / "text").write_text("text")
    cases = [
        ((one[0], two[1]), f"TLS key {two[1]} is not the key of {one[0]}: give the pair"),
        (expired, rf"TLS certificate {expired[0]} has expired on {yesterday:%Y-%m-%d %H:%M} UTC: renew it"),
        ((one[0], "/none"), "TLS key /none: No such file or directory"),
        (("/none", one[1]), "TLS certificate /none: No such file or directory"),
        ((str(tmp_path / "text"), one[1]), "is not in PEM"),
        ((one[0], str(tmp_path / "text")), "cannot be read .*: give it in PEM, without a password"),
        ((one[0], None), "security.tls_certificate is given without security.tls_key: TLS needs both"),
        ((None, one[1]), "security.tls_key is given without security.tls_certificate: TLS needs both"),
    ]
    for files, message in cases:
        with pytest.raises(ConfigError, match=message):
            of(*files)
    assert of(None, None) is None


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(authority, tmp_path):
    from cryptography.hazmat.primitives import serialization

    certificate, key = issued(authority, tmp_path)
    loaded = serialization.load_pem_private_key((tmp_path / "a.key").read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "a.key").write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, how))
    with pytest.raises(ConfigError, match=r"give it in PEM, without a password$"):
        of(certificate, key)


# systemd


class Systemd:
    """The socket that services tell their state."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self.heard: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            self.heard.append(self._socket.recv(4096).decode())

    def told(self, word: str) -> int:
        return sum(word in message for message in self.heard)


def test_systemd_is_told(tmp_path):
    systemd = Systemd(tmp_path)
    with serving(NOTIFY_SOCKET=systemd.path) as process:
        until(lambda: systemd.told("READY=1"))
        assert systemd.heard == [f"READY=1\nSTATUS=listening on {process.url}"]
        process.signal(signal.SIGHUP)
        until(lambda: systemd.told("READY=1") == 2)
        assert systemd.heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
        process.stop()
        until(lambda: systemd.told("STOPPING=1"))
        assert "EXTEND_TIMEOUT_USEC=40000000" in systemd.heard[-1]
    assert not systemd.told("WATCHDOG")


def quiet(systemd: Systemd) -> int:
    """Wait until nothing was told for fifty periods, on a busy machine too; how often it was before."""

    def silent() -> bool:
        before = systemd.told("WATCHDOG=1")
        time.sleep(1.0)
        return systemd.told("WATCHDOG=1") == before

    until(silent)
    return systemd.told("WATCHDOG=1")


def test_the_watchdog_is_fed_while_a_back_end_lives(tmp_path):
    systemd, dead = Systemd(tmp_path), tmp_path / "dead"
    with serving(NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="60000", DEAD=str(dead)):
        until(lambda: systemd.told("WATCHDOG=1") > 3)
        dead.touch()
        fed = quiet(systemd)
        dead.unlink()
        until(lambda: systemd.told("WATCHDOG=1") > fed)


def test_a_stopped_process_feeds_no_watchdog(tmp_path):
    systemd = Systemd(tmp_path)
    with serving(NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="60000") as process:
        until(lambda: systemd.told("WATCHDOG=1"))
        process.signal(signal.SIGSTOP)
        fed = quiet(systemd)
        process.signal(signal.SIGCONT)
        until(lambda: systemd.told("WATCHDOG=1") > fed)


def test_a_socket_of_systemd():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        handing = (
            f"import os, sys; os.dup2({listening.fileno()}, 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[1], sys.argv[1:])"
        )
        command = (sys.executable, "-c", handing)
        process = Process("home-260k", command=command, pass_fds=(listening.fileno(),)).listening()
        try:
            assert process.url == f"http://127.0.0.1:{port}"
            assert httpx.get(f"{process.url}/health").text == "ok"
            assert process.stop() == 0
        finally:
            process.kill()


def test_several_sockets_of_systemd_are_refused(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(ConfigError, match=r"^systemd hands over 2 sockets: give the unit one ListenStream=$"):
        sockets.bind("127.0.0.1", 0)
