"""The servers that are measured, each a process of its own: this project's, and llama.cpp's (PyPI `xllamacpp`)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from edgellm import catalog, manifest

READY_SECONDS = 60.0
LLAMA = """
import json, sys, time, xllamacpp
told = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = told["model"], told["context"], told["slots"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
params.hostnames, params.port = ["127.0.0.1"], told["port"]
params.n_predict, params.verbosity, params.warmup = -1, 0, True
server = xllamacpp.Server(params)
while True:
    time.sleep(60)
"""


@dataclass(slots=True)
class Server:
    """A running one."""

    process: subprocess.Popen[bytes]
    port: int
    model: str = "peer"  # what clients call it
    path: str = "/v1/completions"

    @property
    def url(self) -> str:
        """Where completions are asked for."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def memory(self) -> float:
        """Resident MB, of its children too."""
        own = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [own, *own.children(recursive=True)]) / 1e6

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def edgellm(
    model: str,
    backend: str = "native",
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """`edgellm serve MODEL`, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "edgellm.cli.main", "serve", model, "--port", str(port)]
    command += ["--backend", backend, *options]
    with _running(command, port, environment or {}) as server:
        _wait(server, "/ready")
        server.model = manifest.read(catalog.find(model)).name
        yield server


@contextlib.contextmanager
def llama(gguf: Path, context: int, slots: int, threads: int) -> Iterator[Server]:
    """llama.cpp's server on a GGUF file."""
    port = free_port()
    told = {"model": str(gguf), "context": context * slots, "slots": slots, "threads": threads, "port": port}
    with _running([sys.executable, "-c", LLAMA, json.dumps(told)], port, {}) as server:
        _wait(server, "/health")
        yield server


def without_stop_ids(model: str, folder: Path) -> Path:
    """A copy of a model that does not end by itself, so that all sides generate the same number of tokens."""
    source = catalog.find(model)
    for file in source.iterdir():
        if file.name != manifest.FILE:
            (folder / file.name).symlink_to(file)
    manifest.write(folder, replace(manifest.read(source), stop_ids=()))
    return folder


@contextlib.contextmanager
def _running(command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as cache:
        own = {"EDGELLM_CACHE": os.environ.get("EDGELLM_CACHE", cache), **environment}
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield Server(process, port)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def _wait(server: Server, path: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.process.args!r} ended with status {server.process.returncode}")
        with contextlib.suppress(OSError, urllib.error.URLError):
            request: Any = urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=1)
            request.close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{server.process.args!r} is not ready after {READY_SECONDS:.0f} s")
