"""What the benchmarks give to the peers, and what they time of a process."""

import struct

import numpy as np
import pytest
from shapes import HOME

from benchmarks import llama2c, processes, run
from edgellm import resources

pytestmark = pytest.mark.cpu
MODEL = str(resources.models() / "home-260k")


def test_a_checkpoint_of_llama2c_has_the_shape(tmp_path):
    llama2c.write(HOME, tmp_path)
    data = (tmp_path / "model.bin").read_bytes()
    assert struct.unpack("<7i", data[:28]) == (64, 192, 5, 4, 2, 512, 256)
    layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 192 + 2 * 64
    assert len(data) == 28 + 4 * (512 * 64 + 5 * layer + 64 + 2 * 256 * 8)
    embedding = np.frombuffer(data[28 : 28 + 4 * 512 * 64], np.float32).reshape(512, 64)
    assert not embedding[llama2c.BOS].any()
    assert embedding[llama2c.BOS + 1].all()
    tokens = (tmp_path / "tokenizer.bin").read_bytes()
    assert struct.unpack("<ifi", tokens[:12]) == (4, 0.0, 2)
    assert tokens[12:14] == b"t0"


def script(tmp_path, text):
    path = tmp_path / "run"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_what_llama2c_says_of_its_speed(tmp_path):
    told = script(
        tmp_path, 'test "$1 $2 $3 $7" = "model.bin -z tokenizer.bin 200" && echo "achieved tok/s: 12.5" >&2'
    )
    assert llama2c.tokens_per_second(told, tmp_path, 200) == 12.5
    with pytest.raises(RuntimeError, match="does not say how fast it was: nothing"):
        llama2c.tokens_per_second(script(tmp_path, "echo nothing >&2"), tmp_path, 200)


def test_ratios_are_of_the_own_back_ends_to_the_peers():
    speeds = {"cpu": 30.0, "native": 90.0, "peer": 10.0}
    rows = run.compared("one stream", "m", {name: lambda v=v: v for name, v in speeds.items()}, 2)
    assert [(r["what"], r["value"], r["unit"]) for r in rows[3:]] == [
        ("cpu over peer, one stream", 3.0, "ratio"),
        ("native over peer, one stream", 9.0, "ratio"),
    ]
    assert {(r["tag"], r["model"]) for r in rows} == {("measured", "m")}


def test_the_median_of_runs_turn_by_turn():
    seen = []
    values = iter([1.0, 50.0, 3.0, 70.0, 2.0, 60.0])

    def measure(name):
        seen.append(name)
        return next(values)

    got = run.interleaved({"a": lambda: measure("a"), "b": lambda: measure("b")}, 3)
    assert (got, seen) == ({"a": 2.0, "b": 60.0}, ["a", "b"] * 3)


def test_a_process_is_timed_to_its_first_token_and_weighed():
    assert processes.library_start(MODEL, "cpu") > 0
    assert processes.cli_start(MODEL, "golden") > 0
    assert 20 < processes.memory(MODEL, "cpu") < 1000
    with pytest.raises(RuntimeError, match="nothing came from"):
        processes.library_start("no-such-model", "cpu")
