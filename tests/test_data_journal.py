"""The journal: finished work survives a kill, half a line does not count."""

import os
import subprocess
import sys

from edgellm.data.journal import Journal, key_of


def test_each_piece_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"text": "a\nb", "score": 1.5}

    path = tmp_path / "deep" / "work.jsonl"
    for _ in range(2):
        assert Journal(path).get("key", make) == {"text": "a\nb", "score": 1.5}
    assert len(made) == 1
    assert len(path.read_text().splitlines()) == 1


def test_keys_depend_on_every_part_but_not_on_order():
    assert key_of(a=1, b=["x"]) == key_of(b=["x"], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1")}) == 4


def test_a_line_cut_in_half_is_dropped_and_made_again(tmp_path):
    path = tmp_path / "work.jsonl"
    first = Journal(path)
    first.get("one", lambda: 1)
    first.get("two", lambda: 2)
    path.write_bytes(path.read_bytes()[:-4])
    again = Journal(path)
    assert again.pieces == {"one": 1}
    assert again.get("two", lambda: 3) == 3
    assert Journal(path).pieces == {"one": 1, "two": 3}


def test_a_damaged_line_is_skipped(tmp_path):
    path = tmp_path / "work.jsonl"
    path.write_text('{"key": "one", "value": 1}\n\0\0\0\n[]\n{"key": "two", "value": 2}\n')
    assert Journal(path).pieces == {"one": 1, "two": 2}


def test_kill_loses_the_piece_under_way_only(tmp_path):
    path = tmp_path / "work.jsonl"
    code = (
        "import os, sys; from pathlib import Path; from edgellm.data.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(5): journal.get(str(number), lambda: number)\n"
        "journal.get('last', lambda: os.kill(os.getpid(), 9))"
    )
    done = subprocess.run([sys.executable, "-c", code, os.fspath(path)], check=False)
    assert done.returncode == -9
    assert Journal(path).pieces == {str(number): number for number in range(5)}
