"""Test sets: what a file may hold, and what a message says about one that may not."""

import json

import pytest
from evaluation_model import COMMAND, RIGHT, case_set

from edgellm.errors import ConfigError, UsageError
from edgellm.evaluation import sets
from edgellm.evaluation.sets import Case


def tsv(tmp_path, content, name="mine.tsv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(error, path):
    with pytest.raises(error) as caught:
        sets.read(path)
    return str(caught.value)


def test_commands(tmp_path):
    path = tsv(tmp_path, f"turn on the lamp\t{RIGHT}\nstop\tHassNevermind\t\n")
    chosen = sets.read(path)
    assert chosen.cases == (COMMAND, Case(2, "stop", "HassNevermind", ""))
    assert (chosen.name, chosen.label, chosen.commands) == ("mine.tsv", "mine.tsv", True)
    assert chosen.where(chosen.cases[1]) == f"{path}:2"
    assert chosen.sha256 == sets.files.sha256(path)


def test_plain_text(tmp_path):
    lines = [
        {"prompt": "", "completion": "a\tb\n"},
        {"prompt": "p", "completion": "c", "ends": False, "id": 7},
    ]
    chosen = sets.read(tsv(tmp_path, "\n".join(map(json.dumps, lines)) + "\n", "mine.jsonl"))
    assert chosen.cases == (Case(1, "", "a\tb\n"), Case(2, "p", "c", ends=False))
    assert not chosen.commands


def test_only_line_feeds_end_a_line(tmp_path):
    content = "\ufeffa\u2028b\tX\tc\x0cd\r\n\n  \ne\tY\t\r\n"
    assert sets.read(tsv(tmp_path, content)).cases == (Case(1, "a\u2028b", "X", "c\x0cd"), Case(4, "e", "Y"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tB\tc\na\tB\n", "{path}:2: 2 columns, expected command, target, reply (the reply may be empty)"),
        ("word\n", "{path}:1: 1 column, expected command, target, reply (the reply may be empty)"),
        ("a\tB\tc\td\n", "{path}:1: 4 columns, expected command, target, reply (the reply may be empty)"),
        (" \tB\tc\n", "{path}:1: column command is empty"),
        ("a\t\tc\n", "{path}:1: column target is empty"),
        ("\n \n", "{path}: no lines in it"),
        (
            b"a\tB\t\nab\xe9\tB\t\n",
            "{path}:2: not UTF-8: byte 0xe9 at column 3: convert the file to UTF-8",
        ),
    ],
)
def test_malformed_commands(tmp_path, content, message):
    path = tsv(tmp_path, content)
    assert refused(ConfigError, path) == message.format(path=path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", 'expected an object {"prompt": "...", "completion": "..."}'),
        ('{"prompt": "a"}', "field completion must be a string"),
        ('{"prompt": 3, "completion": "b"}', "field prompt must be a string"),
        ('{"prompt": "a", "completion": ""}', "field completion is empty: there is nothing to expect"),
        ('{"prompt": "a", "completion": "b", "ends": 0}', "field ends must be true or false"),
        (
            '{"prompt": "\\ud800", "completion": "b"}',
            "field prompt has half a surrogate pair: it is not Unicode text",
        ),
    ],
)
def test_malformed_plain_text(tmp_path, line, message):
    path = tsv(tmp_path, '{"prompt": "a", "completion": "b"}\n' + line, "mine.jsonl")
    assert refused(ConfigError, path) == f"{path}:2: {message}"


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "mine.csv"
    assert refused(UsageError, path) == f"{path}: test sets are files that end in .tsv or .jsonl"
    path = tmp_path / "none.tsv"
    assert refused(UsageError, path) == f"{path}: no such test set"


def test_names_of_shipped_sets(tmp_path):
    for name in ("other", "values", "heldout"):
        tsv(tmp_path, "a\tB\t\n", f"{name}.tsv")
    assert sets.available(tmp_path) == ["heldout", "values", "other"]
    found = sets.shipped(["values", "other"], tmp_path)
    assert [(chosen.name, chosen.label) for chosen in found] == [
        ("values", "unseen slot values"),
        ("other", "other"),
    ]
    with pytest.raises(
        UsageError, match=r"^test set 'held' does not exist: choose from heldout, values, other$"
    ):
        sets.shipped(["values", "held"], tmp_path)
    with pytest.raises(UsageError, match=r"choose from \(none is installed\)$"):
        sets.shipped(["values"], tmp_path / "empty")


def test_every_set_in_the_package_can_be_read():
    for chosen in sets.shipped(sets.available()):
        assert chosen.commands
        assert len(chosen.cases) > 100


def test_a_sample_is_spread_over_the_set():
    chosen = case_set(*(Case(number, "a", "B") for number in range(1, 11)))
    assert [case.number for case in chosen.sample(4).cases] == [1, 3, 6, 8]
    assert chosen.sample(None) is chosen
    assert chosen.sample(10) is chosen
    assert len(chosen.sample(1).cases) == 1
    with pytest.raises(UsageError, match=r"^the limit of lines must be at least 1, not 0$"):
        chosen.sample(0)
