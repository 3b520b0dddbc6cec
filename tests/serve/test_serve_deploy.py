"""What deploy/ ships: settings that load, units that systemd takes, a container without root, nginx that streams and goes on."""

import configparser
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
from process import Process, until

from edgellm.serve import loading
from edgellm.serve.settings import Values

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "edgellm.service"
WHOLE = [*(f"data: {number}" for number in range(5)), "data: [DONE]"]
BOARD = DEPLOY / "systemd" / "edgellm.service.d" / "board.conf"


def test_the_example_of_settings_loads():
    values = loading.load({}, DEPLOY / "edgellm.toml")
    assert values == Values(models=("home-260k",))


def test_the_example_shows_every_setting_with_its_default(tmp_path):
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", (DEPLOY / "edgellm.toml").read_text(), flags=re.MULTILINE)
    table = loading.tomllib.loads(text)
    defaults = Values(models=("home-260k",))
    for path in loading.fields():
        if path == ("models",):
            continue
        shown, default = table, defaults
        for name in path:
            shown, default = shown[name], getattr(default, name)
        if default not in (None, "", ()):  # those show an example
            assert shown == default, path
    assert set(table["models"][0]) == set(type(defaults.models[0]).model_fields)
    (tmp_path / "all.toml").write_text(text)
    loading.load({}, tmp_path / "all.toml")


# systemd


def unit(*paths: Path) -> dict[str, list[str]]:
    """Settings of [Service], each with its values in order."""
    found: dict[str, list[str]] = {}
    for path in paths:
        section = path.read_text().split("[Service]")[1].split("\n[")[0]
        for line in section.splitlines():
            if "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                found.setdefault(name, []).append(value)
    return found


def test_the_unit_is_that_of_this_service():
    told = unit(UNIT)
    assert told["Type"] == ["notify"]
    assert told["ExecStart"] == ["/opt/edgellm/bin/edgellm serve --config /etc/edgellm/edgellm.toml"]
    assert told["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert "XILINX_XRT=/usr" in told["Environment"]
    assert int(told["WatchdogSec"][0]) > 0
    assert told["KillMode"] == ["mixed"]  # or workers would die before their answers are finished
    drained = Values(models=("m",)).drain_seconds
    assert int(told["TimeoutStopSec"][0]) > drained + 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("User", "edgellm"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateTmp", "yes"),
        ("RestrictNamespaces", "yes"),
        ("UMask", "0077"),
    ],
)
def test_the_unit_has_the_least_privilege(name, value):
    assert unit(UNIT)[name] == [value]


def test_a_board_gets_its_devices_and_no_more():
    told = unit(BOARD)
    assert told["DevicePolicy"] == ["closed"]
    assert told["DeviceAllow"] == ["/dev/mem rw", "char-uio rw", "char-drm rw"]
    assert told["CapabilityBoundingSet"] == ["CAP_SYS_RAWIO CAP_DAC_OVERRIDE"]
    for name in ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "RestrictNamespaces"):
        assert name not in told, "stays as in the unit"


@pytest.fixture
def installed(tmp_path):
    """The units, with a program that is there."""
    shutil.copytree(DEPLOY / "systemd", tmp_path, dirs_exist_ok=True)
    copy = tmp_path / "edgellm.service"
    copy.write_text(copy.read_text().replace("/opt/edgellm/bin/edgellm", "/bin/true"))
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


@pytest.mark.programs
def test_systemd_accepts_the_units(installed):
    done = analyze(
        "verify", "--man=no", str(installed / "edgellm.service"), str(installed / "edgellm.socket")
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.programs
@pytest.mark.parametrize(("board", "most"), [(False, 15), (True, 30)])
def test_systemd_finds_little_exposed(installed, board, most):
    if not board:
        shutil.rmtree(installed / "edgellm.service.d")
    done = analyze("security", "--offline=yes", f"--threshold={most}", str(installed / "edgellm.service"))
    assert done.returncode == 0, done.stdout[-200:]


# container


def stages() -> list[list[str]]:
    """Instructions of each stage."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def test_the_container_runs_without_root_and_without_build_tools():
    build, final = stages()
    assert any("gcc" in line for line in build)
    assert not any(re.search(r"apt-get|pip |gcc|git", line) for line in final)
    users = [line for line in final if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    assert final.index(users[0]) < final.index('ENTRYPOINT ["edgellm"]')
    assert all("constraints/serve.txt" in line for line in build if "pip install" in line)
    assert "STOPSIGNAL SIGTERM" in final
    assert not [line for line in final if line.startswith("ENV") and "KEY" in line]


def test_the_containers_health_check_asks_a_service_that_is_there():
    (line,) = [line for line in stages()[1] if line.startswith("HEALTHCHECK")]
    command = json.loads(line[line.index("CMD ") + 4 :])
    process = Process("home-260k", "--port", "0").listening()
    try:
        command = [part.replace("http://127.0.0.1:8000", process.url) for part in command]
        assert subprocess.run(command).returncode == 0
    finally:
        process.kill()
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0


# nginx


class Nginx:
    """The shipped configuration with other ports and folders."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        text = (DEPLOY / "nginx.conf").read_text()
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{ports[0]}",
            "127.0.0.1:8001": f"127.0.0.1:{ports[1]}",
            "/run/edgellm-nginx.pid": f"{folder}/pid",
            "/var/cache/nginx/": f"{folder}/",
        }
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self._config = folder / "nginx.conf"
        self._config.write_text(f"daemon off;\n{text}")

    def check(self) -> subprocess.CompletedProcess:
        return subprocess.run(["nginx", "-t", "-q", "-c", str(self._config)], capture_output=True, text=True)

    def __enter__(self):
        self._child = subprocess.Popen(["nginx", "-c", str(self._config)], stderr=subprocess.DEVNULL)
        until(lambda: connects(self.url))
        return self

    def __exit__(self, *_) -> None:
        self._child.terminate()
        assert self._child.wait(60) == 0


def connects(url: str) -> bool:
    with contextlib.suppress(httpx.ConnectError):
        httpx.get(url)
        return True
    return False


@pytest.fixture
def services():
    made = [
        Process("home-260k", "--port", "0", "--set", 'security.trusted_proxies=["127.0.0.1"]')
        for _ in range(2)
    ]
    try:
        yield [process.listening() for process in made]
    finally:
        for process in made:
            process.kill()


@pytest.fixture
def nginx(services, tmp_path):
    with Nginx(tmp_path, [int(process.url.rsplit(":", 1)[1]) for process in services]) as one:
        yield one


@pytest.mark.programs
def test_nginx_accepts_its_configuration(tmp_path):
    done = Nginx(tmp_path, [1, 2]).check()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.programs
def test_streams_pass_through_nginx_chunk_by_chunk(nginx):
    with httpx.stream("POST", f"{nginx.url}/v1/completions", json={"chunks": 5}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert [line for line in stream.iter_lines() if line] == WHOLE
    slow = {"chunks": 10_000, "pause": 0.2}  # a buffer of 4 KB would fill in a minute
    with httpx.stream("POST", f"{nginx.url}/v1/completions", json=slow, timeout=20) as stream:
        lines = (line for line in stream.iter_lines() if line)
        begun = time.monotonic()
        assert [next(lines) for _ in range(3)] == WHOLE[:3]
        assert time.monotonic() - begun < 20


@pytest.mark.programs
def test_nginx_tells_who_asks(nginx):
    answer = httpx.post(f"{nginx.url}/v1/completions", json={}, headers={"X-Forwarded-For": "192.0.2.9"})
    assert answer.json()["peer"] == "127.0.0.1"  # what the client itself says is not passed on


@pytest.mark.programs
def test_a_client_that_leaves_nginx_ends_its_answer(nginx, services):
    with httpx.stream(
        "POST", f"{nginx.url}/v1/completions", json={"chunks": 10_000, "pause": 0.01}
    ) as stream:
        next(stream.iter_lines())
    codes = [process.stop() for process in services]  # which would wait for an answer under way
    assert codes == [0, 0]


@pytest.mark.programs
def test_what_nginx_refuses_has_openais_shape(nginx, services):
    long = httpx.post(f"{nginx.url}/v1/completions", content=b"x" * 300_000)
    assert (long.status_code, long.json()["error"]["code"]) == (413, "body_too_large")
    for process in services:
        process.kill()
    lost = httpx.post(f"{nginx.url}/v1/completions", json={})
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")
    assert set(lost.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.programs
def test_requests_go_on_when_one_service_behind_nginx_is_killed(nginx, services):
    over, outcomes, lock = threading.Event(), [], threading.Lock()

    def once(client) -> str:
        try:
            with client.stream(
                "POST", f"{nginx.url}/v1/completions", json={"chunks": 5, "pause": 0.01}
            ) as stream:
                lines = [line for line in stream.iter_lines() if line]
                if stream.status_code == 200:
                    return "whole" if lines == WHOLE else f"wrong {lines}"
                return json.loads("".join(lines))["error"]["code"]
        except httpx.RemoteProtocolError:
            return "broke off"

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                outcome = once(client)
                with lock:
                    outcomes.append(outcome)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: outcomes.count("whole") > 100)
    services[0].kill()
    killed = len(outcomes)
    until(lambda: outcomes[killed:].count("whole") > 200)
    over.set()
    for thread in threads:
        thread.join(60)
    lost = [outcome for outcome in outcomes if outcome != "whole"]
    assert set(lost) <= {"broke off", "unavailable"}
    assert 1 <= len(lost) <= 16  # those that were under way, and one try of each client on the dead one
    assert outcomes[-50:] == ["whole"] * 50


# dependencies


def pins(name: str) -> dict[str, str]:
    lines = (DEPLOY.parent / "constraints" / name).read_text().splitlines()
    found = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    return {re.split("==", line)[0].lower().replace("_", "-"): line for line in found}


def test_every_dependency_of_the_service_is_pinned():
    config = configparser.ConfigParser()
    config.read(DEPLOY.parent / "setup.cfg")
    pinned = pins("serve.txt")
    assert [line for line in pinned.values() if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)] == []
    extras = config["options.extras_require"]
    wanted = "\n".join(
        extras[extra] for extra in ("cpu", "grammar", "filters", "serve", "redis", "trace", "ray")
    )
    wanted += config["options"]["install_requires"]
    names = [
        re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        for line in wanted.splitlines()
        if line.strip()
    ]
    assert len(names) > 20
    assert [name for name in names if name not in pinned] == []
