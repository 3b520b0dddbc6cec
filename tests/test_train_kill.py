"""SIGKILL at any moment, then --resume: the same bytes as a run that nobody disturbed.

Real processes, forked from a server that has the libraries loaded; some are killed by the clock, some by themselves at a
chosen system call of a save, where the clock would hardly ever hit.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.train

RECIPE = """
name = "own"
description = "for tests"
seed = 3

[corpus]
kind = "jsonl"
train = "lines.jsonl"
valid_share = 0.2
licence = "CC0-1.0"

[teacher]
vocab = 264
width = 16
layers = 1
heads = 2
kv_heads = 1
head_dim = 8
ffn = 16
context = 64

[teacher_plan]
tokens = 2500
batch_tokens = 256

[student]
vocab = 264
width = 8
layers = 2
heads = 1
kv_heads = 1
head_dim = 8
ffn = 16
context = 64

[student_plan]
tokens = 2500
batch_tokens = 256
distil = 0.3
hidden = 0.1

[qat_plan]
tokens = 1000
batch_tokens = 256
lr = 0.002
distil = 0.5

[saving]
seconds = 0
log_steps = 2
valid_steps = 5
"""
LEFT = ["teacher", "student", "qat", "checkpoint"]


def train(recipe, folder, call="", count=0, after=False):
    """What a process does: train until the end, or until the `count`-th `call`, before or after it is made."""
    os.environ["EDGELLM_PROGRESS"] = "0"
    from edgellm.train import distill, recorder

    recorder.curves.draw = lambda folder: None
    if call:
        die_at(call, count, after)
    distill.run(recipe, folder, resume=True, until="qat")


def die_at(call, count, after):
    real, calls = getattr(os, call), []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) < count:
            return real(*arguments)
        if after:
            real(*arguments)
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, call, dying)


@pytest.fixture(scope="module")
def server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgellm.train.distill", "torch.utils.tensorboard"])
    first = context.Process(target=time.time)  # the server imports now, not in the time of the first run
    first.start()
    first.join()
    return context


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    rng = random.Random(1)
    rows = [{"prompt": f"what is {n}", "completion": f"it is {rng.randint(0, 99)}"} for n in range(80)]
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    path = folder / "r.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(server, recipe):
    """The folder of an undisturbed run, and the seconds it took."""
    folder, start = recipe.parent / "whole", time.monotonic()
    process = server.Process(target=train, args=(recipe, folder))
    process.start()
    process.join()
    assert process.exitcode == 0
    return folder, time.monotonic() - start


def assert_same_bytes(folder, expected):
    for name in LEFT:
        for file in ("weights.safetensors", "about.json"):
            assert (folder / name / file).read_bytes() == (expected / name / file).read_bytes(), name
        assert not list((folder / name).glob(".*")), "litter"
    for file in ("log.csv", "scheme.json", "tokenizer.json"):
        assert (folder / file).read_bytes() == (expected / file).read_bytes(), file


def finish(server, recipe, folder, expected):
    process = server.Process(target=train, args=(recipe, folder))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_same_bytes(folder, expected)


def test_killed_inside_its_saves(server, recipe, whole, tmp_path):
    deaths = [
        ("fsync", 3, False),  # corpus, tokenizer, log
        ("fsync", 11, False),  # the new weights are written, not yet safe
        ("replace", 9, False),  # safe, not yet in place
        ("replace", 6, True),  # in place, the readable copy of the description is the old one
        ("replace", 14, True),
        ("fsync", 22, True),
    ]
    for call, count, after in deaths:
        process = server.Process(target=train, args=(recipe, tmp_path / "run", call, count, after))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, (call, count)
    finish(server, recipe, tmp_path / "run", whole[0])


def test_killed_by_the_clock(server, recipe, whole, tmp_path):
    folder, seconds = whole
    rng, killed = random.Random(4), 0
    while killed < 3:
        process = server.Process(target=train, args=(recipe, tmp_path / "run"))
        process.start()
        process.join(rng.uniform(0.05, 0.6) * seconds)
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was faster than the clock: from the start again, sooner
            shutil.rmtree(tmp_path / "run")
            seconds, killed = seconds / 2, 0
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    finish(server, recipe, tmp_path / "run", folder)
