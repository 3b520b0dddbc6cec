"""`edgellm paraphrase` and `edgellm write` with a tiny random teacher."""

import json

import paraphrase_corpus
import pytest
import tiny_llama

from edgellm.cli.main import main
from edgellm.data.texts import TextWriter

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return str(tiny_llama.save_folder(tmp_path_factory.mktemp("teacher") / "tiny"))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in paraphrase_corpus.rows()))
    return str(path)


def failure(capsys, *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_paraphrase(capsys, tmp_path, corpus, teacher):
    """A random teacher says nothing that is kept; every text is accounted for, and a second run asks it nothing."""
    out = tmp_path / "out.tsv"
    arguments = [
        "paraphrase",
        corpus,
        "-o",
        str(out),
        "--teacher",
        teacher,
        "--sources",
        "1",
        "--samples",
        "4",
    ]
    assert main(arguments) == 0
    assert capsys.readouterr().out.endswith(f"wrote 0 lines to {out}\n")
    about = json.loads((tmp_path / "out.json").read_text())
    assert sum(about["rejected"].values()) == 6 * 4
    assert about["teacher"]["name"] == "tiny"
    assert about["sampling"]["temperature"] == 0.85
    work = (tmp_path / "out.tsv.work.jsonl").read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / "out.tsv.work.jsonl").read_bytes() == work


def test_write(capsys, tmp_path, teacher, monkeypatch):
    line = "What is a cup? A cup is used to drink."
    monkeypatch.setattr(TextWriter, "run", lambda _: [line])  # the tiny teacher writes noise
    out = tmp_path / "household.txt"
    command = ["write", "-o", str(out), "--teacher", teacher, "--prompts", "1", "--samples", "2"]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"wrote 1 lines to {out}\n")
    assert out.read_text() == line + "\n"
    assert json.loads((tmp_path / "household.json").read_text())["titles"][0] == "What is {thing}?"


def test_a_teacher_that_writes_noise(capsys, tmp_path, teacher):
    out = tmp_path / "household.txt"
    told = failure(capsys, "write", "-o", str(out), "--teacher", teacher, "--prompts", "1", "--samples", "2")
    assert told.splitlines()[-1] == (
        f"edgellm: error: {out}: no text passed the checks (cut off 2): raise prompts or samples"
    )
    assert not out.exists()


def test_a_teacher_that_was_not_fetched(capsys, tmp_path, corpus, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    assert failure(capsys, "paraphrase", corpus, "-o", str(tmp_path / "x.tsv")) == (
        "edgellm: error: the teacher is not on this machine: run `edgellm fetch teacher` once\n"
    )


def test_bad_arguments(capsys, tmp_path, corpus, teacher):
    out = str(tmp_path / "x.tsv")
    assert failure(capsys, "paraphrase", "lines.txt", "-o", out) == (
        "edgellm: error: lines.txt: give a .tsv file of command, target, reply\n"
    )
    assert "no such corpus file" in failure(capsys, "paraphrase", str(tmp_path / "no.tsv"), "-o", out)
    assert failure(capsys, "paraphrase", corpus, "-o", out, "--samples", "0") == (
        "edgellm: error: samples must be at least 1, not 0\n"
    )
    assert failure(capsys, "paraphrase", corpus, "-o", out, "--teacher", teacher, "--threads", "0") == (
        "edgellm: error: --threads must be at least 1, not 0\n"
    )
    assert "no such plan file" in failure(capsys, "write", "-o", out, "--plan", str(tmp_path / "no.json"))
    assert "no such teacher" in failure(capsys, "write", "-o", out, "--teacher", str(tmp_path / "no"))


def test_a_corpus_line_without_three_columns(capsys, tmp_path):
    path = tmp_path / "odd.tsv"
    path.write_text("only one column\n")
    assert failure(capsys, "paraphrase", str(path), "-o", str(tmp_path / "x.tsv")) == (
        f"edgellm: error: {path}:1: 1 columns, expected command, target, reply\n"
    )
