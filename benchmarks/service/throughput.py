"""Requests a second of 32 clients, beside llama.cpp's server on a model of the same shape."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import llama_cpp
from benchmarks.run import LLAMA_CPP, Candidates, interleaved
from benchmarks.service import client, servers, workload
from edgellm import catalog
from edgellm.numerics import onnxfile
from edgellm.runtime.device import MODEL_FILE

CLIENTS, REQUESTS, REPEATS = 32, 600, 5
OWN = ("cpu", "native")
LLAMA_OPTIONS = {"ignore_eos": True, "cache_prompt": False}


def measure(model: str, work: Path) -> list[dict[str, Any]]:
    """Prompts of 20 tokens, answers of 30; one thread generates in each server; nothing is cached."""
    arch = onnxfile.load(catalog.find(model) / MODEL_FILE).arch
    (work / "model").mkdir()
    folder = str(servers.without_stop_ids(model, work / "model"))
    off = {"EDGELLM_SERVE_CACHE__STORE": "off", "EDGELLM_SERVE_LOG__LEVEL": "warning"}
    with contextlib.ExitStack() as stack:
        candidates: Candidates = {
            backend: partial(
                _rate, stack.enter_context(servers.edgellm(folder, backend, environment=off)), {}
            )
            for backend in OWN
        }
        if not llama_cpp.missing():
            llama_cpp.write_gguf(arch, work / "peer.gguf")
            peer = stack.enter_context(servers.llama(work / "peer.gguf", arch.context, CLIENTS, 1))
            candidates[LLAMA_CPP] = partial(_rate, peer, LLAMA_OPTIONS)
        for warm in candidates.values():
            warm()
        rates = interleaved(candidates, REPEATS)
    what = f"{CLIENTS} clients"
    rows = [{"what": f"{name}, {what}", "value": rate, "unit": "requests/s"} for name, rate in rates.items()]
    if LLAMA_CPP in rates:
        rows += [
            {
                "what": f"{name} over {LLAMA_CPP}, {what}",
                "value": rates[name] / rates[LLAMA_CPP],
                "unit": "ratio",
            }
            for name in OWN
        ]
    return rows


def _rate(server: servers.Server, more: dict[str, Any]) -> float:
    load = client.run(
        client.closed(server.url, CLIENTS, REQUESTS, workload.tokens(model=server.model, **more))
    )
    wrong = [reply for reply in load.replies if reply.status != 200 or reply.tokens != workload.ANSWER]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {REQUESTS} requests went wrong, for example {wrong[0]}")
    return REQUESTS / load.seconds
