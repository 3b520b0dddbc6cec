"""The deployment on Ray: what Ray is asked for, a replica by itself, and two machines of which one is killed under load."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from process import STANDIN, until
from standin import Service, create_app

from edgellm.errors import ConfigError, ServiceError
from edgellm.serve.parts import Parts
from edgellm.serve.settings import RaySettings, SecuritySettings, Values

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray, too, keeps to 127.0.0.1
on_ray = importlib.import_module("edgellm.serve.ray")
PARTS = Parts(Service, create_app)
CHUNKS = {"chunks": 10, "pause": 0.02}
WHOLE = [*(f"data: {number}" for number in range(10)), "data: [DONE]"]


def values(**ray) -> Values:
    return Values(port=0, models=("home-260k",), ray=RaySettings(**ray))


def test_what_ray_is_asked_for():
    made = on_ray.deployment(
        values(least_replicas=2, most_replicas=3, target_requests=5, cpus=0.5, spread=True), PARTS
    )
    asked = made._bound_deployment
    scaling = asked._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 3, 5)
    assert asked.ray_actor_options["num_cpus"] == 0.5
    assert asked._replica_config.max_replicas_per_node == 1
    assert asked._deployment_config.graceful_shutdown_timeout_s == 30


def test_what_rays_proxies_cannot_do():
    with pytest.raises(ConfigError, match=r"^listening on 0.0.0.0 needs API keys"):
        on_ray.check(Values(host="0.0.0.0", models=("m",)))
    secured = SecuritySettings(tls_certificate="a", tls_key="b")
    with pytest.raises(
        ConfigError, match=r"^Ray's proxies speak plain HTTP: leave out security.tls_\*, or put"
    ):
        on_ray.check(Values(models=("m",), security=secured))


@pytest.mark.filterwarnings(
    "ignore:coroutine .Replica.__del__. was never awaited:RuntimeWarning"
)  # Ray awaits it
def test_a_replica_serves_the_guarded_app_and_tells_when_it_is_dead(tmp_path, monkeypatch, capsys):
    dead = tmp_path / "dead"
    monkeypatch.setenv("DEAD", str(dead))

    async def main():
        replica = on_ray.Replica.__new__(on_ray.Replica)
        await replica.__init__(values().model_dump_json(), PARTS)
        transport = httpx.ASGITransport(replica.__serve_build_asgi_app__())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/v1/models")).json() == ["home-260k"]
            assert (await client.get("/", headers={"host": "evil.example"})).status_code == 403
        replica.check_health()
        dead.touch()
        with pytest.raises(ServiceError, match=r"^no back end of this replica is alive$"):
            replica.check_health()
        await replica.__del__()

    asyncio.run(main())
    assert capsys.readouterr().err == "closed\n"


def environment() -> dict[str, str]:
    """Workers of Ray find the stand-in."""
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests' / 'serve'}"}


@pytest.mark.campaign
def test_serve_on_ray_until_a_signal():
    command = [sys.executable, str(STANDIN), "serve", "home-260k", "--port", "0", "--ray"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            url = re.search(r"http://\S+", process.stdout.readline())[0]
            assert httpx.get(f"{url}/v1/models", timeout=60).json() == ["home-260k"]
            assert httpx.get(f"{url}/v1/models", headers={"host": "evil.example"}).status_code == 403
            with httpx.stream("POST", f"{url}/v1/completions", json=CHUNKS) as stream:
                assert [line for line in stream.iter_lines() if line] == WHOLE
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
        finally:
            process.kill()


@pytest.fixture
def cluster(monkeypatch):
    """A head that only hands requests on: Ray's proxies prefer replicas beside them."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    arguments = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    made = Cluster(initialize_head=True, head_node_args=arguments)
    ray.init(made.address, log_to_driver=False)
    try:
        yield made
    finally:
        serve.shutdown()
        ray.shutdown()
        made.shutdown()


class Load:
    """Clients that ask again when an answer is an error or breaks off."""

    def __init__(self, url: str, clients: int) -> None:
        self._url, self._over = url, threading.Event()
        self.whole, self.retried, self.wrong = 0, 0, []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._over.is_set():
                for _ in range(20):
                    if self._answered(client):
                        break
                    time.sleep(0.5)
                else:
                    self.wrong.append("20 tries, no answer")

    def _answered(self, client) -> bool:
        try:
            with client.stream("POST", f"{self._url}/v1/completions", json=CHUNKS) as stream:
                status, lines = stream.status_code, [line for line in stream.iter_lines() if line]
        except httpx.TransportError:  # a response that broke off is noticed as such
            status, lines = 0, []
        good = status == 200 and lines == WHOLE
        with self._lock:
            self.whole, self.retried = self.whole + good, self.retried + (not good)
            if status == 200 and not good:
                self.wrong.append(lines)
        return good

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()


def replicas() -> int:
    from ray import serve

    (deployment,) = serve.status().applications[on_ray.NAME].deployments.values()
    return deployment.replica_states.get("RUNNING", 0)


def kill(node) -> None:
    """What runs on a machine, all at once."""
    raylets = [psutil.Process(one.process.pid) for one in node.all_processes["raylet"]]
    for process in [*raylets, *(child for raylet in raylets for child in raylet.children(recursive=True))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.campaign
def test_a_machine_of_two_is_killed_under_load(cluster):
    _, node = (cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2))
    url = on_ray.start(
        values(least_replicas=2, most_replicas=2, cpus=0.5, spread=True, proxies="head"), PARTS
    )
    until(lambda: replicas() == 2)
    with Load(url, clients=8) as load:
        more(load)
        kill(node)
        cluster.remove_node(node, allow_graceful=False)
        more(load)
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        until(lambda: replicas() == 2)
        more(load)
    assert load.wrong == []
    assert load.retried  # or nothing was lost with the machine
    print(f"{load.whole} answers, {load.retried} tries again")


def more(load: Load) -> None:
    """Wait for answers."""
    before = load.whole
    until(lambda: load.whole >= before + 50)
