"""All of the service as a process: one request is seen by every part, and a back end that is killed by nobody who asks."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from process import serving, until

from edgellm.runtime import llm as llms

TEXT = "turn on the kitchen light"
SECRET = "a secret that nobody may read"


@pytest.fixture(scope="module")
def want():
    with llms.load("home-260k", "golden") as judge:
        return judge.generate(TEXT)


def completion(client, text=TEXT, **more):
    response = client.post("/v1/completions", json={"model": "home-260k", "prompt": text, **more})
    assert response.status_code == 200, response.text
    return response.json()


def metric(client, name):
    """Sum over the labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + "{")]
    assert lines, name
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_one_request_is_seen_by_every_part(want, tmp_path):
    kept = tmp_path / "answers.sqlite"
    with (
        serving("--backend", "native", "--set", f"cache.path={kept}", real=True) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        first, second = completion(client), completion(client)
        assert first["choices"][0]["text"] == second["choices"][0]["text"] == want.text
        assert [one["choices"][0]["edgellm"]["origin"] for one in (first, second)] == ["generated", "cache"]
        assert metric(client, "edgellm:generation_tokens_total") == 2 * len(want.tokens)
        (model,) = client.get("/live").json()["models"]
        assert model["activity"]["origins"] == {"generated": 1, "cache": 1}
        figures = client.get("/admin/cache").json()
        assert (figures["response"]["queries"], figures["response"]["hits"]) == (2, 1)
        assert figures["prefix"][0]["tokens"] > 0
        assert client.delete("/admin/cache").json()["prefix_workers"] == 1
        assert client.get("/admin/cache").json()["prefix"][0]["tokens"] == 0
        assert completion(client)["choices"][0]["edgellm"]["origin"] == "generated"
        assert client.get("/").text.startswith("<!DOCTYPE html>")
        assert client.post("/v1/completions", json={"prompt": SECRET}).status_code == 400
        assert process.stop() == 0
    lines = [json.loads(line) for line in process.errors if line]
    told = [(line["path"], line["status"], line.get("tokens")) for line in lines if "path" in line]
    assert told.count(("/v1/completions", 200, len(want.tokens))) == 3
    assert ("/v1/completions", 400, None) in told
    assert SECRET not in "".join(process.errors)
    assert kept.is_file()


def test_a_killed_back_end_is_noticed_by_nobody_who_asks(want):
    with (
        serving("--backend", "native", "--isolated", "--set", "cache.store=off", real=True) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
        ThreadPoolExecutor(4) as threads,
    ):
        answers = [threads.submit(completion, client, seed=n, temperature=0.001) for n in range(60)]
        killed = set()
        while not all(answer.done() for answer in answers) or len(killed) < 2:
            for child in psutil.Process(process.pid).children():
                if child.pid not in killed and len(killed) < 2 and "child" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
                    killed.add(child.pid)
            answers.append(threads.submit(completion, client))
            answers[-1].result()
        assert {answer.result()["choices"][0]["text"] for answer in answers} == {want.text}
        until(lambda: client.get("/ready").status_code == 200)
        until(lambda: metric(client, "edgellm:worker_restarts_total") == 2)
        assert process.stop() == 0
