"""`edgellm eval` as a user types it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from evaluation_model import SHAPE, write_model

from edgellm.cli import evaluate
from edgellm.cli.main import main
from edgellm.evaluation import sets
from edgellm.runtime.llm import load

pytestmark = pytest.mark.train  # rich, matplotlib, ONNX Runtime


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "noise")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("turn on the lamp\tHassTurnOn name= lamp\tOk\nstop\tHassStop\t\n")
    return path


def failure(capsys, *arguments):
    assert main(["eval", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def evaluated(capsys, *arguments):
    assert main(["eval", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tables_and_files(capsys, folder, data, tmp_path):
    assert main(["eval", str(folder), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "noise on native" in text
    assert "exact match per intent" in text
    assert "mine.tsv" in text
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["sets"]["mine.tsv"]["lines"] == 2
    assert (tmp_path / "out" / "errors.tsv").read_text().count("\n") == 3
    assert (tmp_path / "out" / "confusion.png").is_file()


def test_back_ends_agree_to_the_last_digit(capsys, folder, data):
    reports = [
        evaluated(capsys, folder, "--data", data, "--backend", backend)["sets"]
        for backend in ("cpu", "golden")
    ]
    assert reports[0] == reports[1]
    assert reports[0]["mine.tsv"]["loss"] > 1


def test_what_a_model_says_itself_is_right(capsys, tmp_path):
    commands = ("turn on the kitchen light", "Set a timer for 5 minutes!", "add milk to my shopping list")
    with load("home-260k", "cpu") as llm:
        answers = [llm.generate(command).text for command in commands]
    path = tmp_path / "own.tsv"
    path.write_text(
        "".join(f"{command}\t{answer}\n" for command, answer in zip(commands, answers, strict=True))
    )
    report = evaluated(capsys, "home-260k", "--data", path)["sets"]["own.tsv"]
    assert [report[name]["percent"] for name in ("intent", "exact", "reply")] == [100, 100, 100]
    assert report["slots"]["f1"] == 100


def test_a_limit(capsys, folder, data):
    assert evaluated(capsys, folder, "--data", data, "--limit", 1)["sets"]["mine.tsv"]["lines"] == 1
    assert failure(capsys, folder, "--data", data, "--limit", 0) == (
        "edgellm: error: the limit of lines must be at least 1, not 0\n"
    )


def test_sets_by_name(capsys, folder, data, tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in ("heldout", "free"):
        (shelf / f"{name}.tsv").write_text("stop\tHassStop\t\n")
    monkeypatch.setattr(sets.available, "__defaults__", (shelf,))
    monkeypatch.setattr(sets.shipped, "__defaults__", (shelf,))
    assert list(evaluated(capsys, folder)["sets"]) == ["heldout", "free"]
    assert list(evaluated(capsys, folder, "--sets", "free, heldout,free")["sets"]) == ["free", "heldout"]
    assert list(evaluated(capsys, folder, "--sets", "free", "--data", data)["sets"]) == ["free", "mine.tsv"]
    assert list(evaluated(capsys, folder, "--data", data)["sets"]) == ["mine.tsv"]
    assert failure(capsys, folder, "--sets", "freee") == (
        "edgellm: error: test set 'freee' does not exist: choose from heldout, free\n"
    )


def test_a_malformed_file(capsys, folder, data):
    data.write_text("a\tB\tc\nstop\tHassStop\n")
    assert failure(capsys, folder, "--data", data) == (
        f"edgellm: error: {data}:2: 2 columns, expected command, target, reply (the reply may be empty)\n"
    )


def test_two_files_of_one_name(capsys, folder, data):
    assert failure(capsys, folder, "--data", data, "--data", data) == (
        "edgellm: error: two test sets are called 'mine.tsv': rename one of the files\n"
    )


def test_a_model_without_its_logit_step(capsys, data, tmp_path):
    old = write_model(tmp_path / "old", None)
    report = evaluated(capsys, old, "--data", data)
    assert report["notes"] == ["no loss: model.onnx does not store its logit step; export the model again"]
    assert "loss" not in report["sets"]["mine.tsv"]
    assert main(["eval", str(old), "--data", str(data)]) == 0
    assert "note: no loss: model.onnx does not store" in capsys.readouterr().out


def test_without_rich_or_matplotlib(capsys, folder, data, tmp_path, monkeypatch):
    def missing(module, hint):
        raise evaluate.UsageError(f"{module} {hint}")

    monkeypatch.setattr(evaluate, "require", missing)
    assert failure(capsys, folder, "--data", data) == "edgellm: error: rich pip install 'edgellm[eval]'\n"
    assert failure(capsys, folder, "--data", data, "--json", "-o", tmp_path / "out") == (
        "edgellm: error: matplotlib pip install 'edgellm[eval]'\n"
    )
    assert evaluated(capsys, folder, "--data", data)["backend"] == "native"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_leaves_no_file(folder, tmp_path, how):
    """A set that takes far longer than the test waits."""
    path, out = tmp_path / "long.tsv", tmp_path / "out"
    path.write_text(f"{'a' * (SHAPE.context - 20)}\tHassStop\t\n" * 400)
    command = ["eval", str(folder), "--data", str(path), "--backend", "golden", "-o", str(out)]
    quiet = {**os.environ, "EDGELLM_PROGRESS": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", _ANNOUNCE, *command], stdout=subprocess.PIPE, env=quiet
    ) as running:
        try:
            assert running.stdout.read(1) == b"."
            running.send_signal(how)
            assert running.wait(60) == (130 if how == signal.SIGTERM else -how)
        finally:
            running.kill()
    assert not out.exists()


_ANNOUNCE = """
import os, sys
from edgellm.cli.main import main
from edgellm.evaluation import integer
real = integer.cross_entropy
def announced(*arguments):
    os.write(1, b".")
    return real(*arguments)
integer.cross_entropy = announced
sys.exit(main(sys.argv[1:]))
"""
