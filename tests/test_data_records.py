"""What a run folder keeps of an own corpus, and gives to training and evaluation."""

import pytest

from edgellm.data.records import JsonlCorpus, Record, TextCorpus, pairs, read_split, to_line
from edgellm.errors import TrainingError
from edgellm.manifest import NORMALISE, TEMPLATE, Prompt

RECORDS = [Record("ask", 'say\n\u2028\x85 "it"'), Record("", "東 goes on", False), Record("", "and ends")]


def test_lines_read_back_as_written(tmp_path):
    (tmp_path / "valid.jsonl").write_text("".join(map(to_line, RECORDS)), "utf-8")
    assert list(read_split(tmp_path, "valid")) == RECORDS
    assert pairs(tmp_path, "valid") == [record[:2] for record in RECORDS]


def test_only_a_piece_says_that_it_goes_on():
    assert to_line(RECORDS[1]) == '{"prompt": "", "completion": "東 goes on", "ends": false}\n'
    assert to_line(RECORDS[2]) == '{"prompt": "", "completion": "and ends"}\n'


def test_framings():
    assert JsonlCorpus(()).framing == Prompt(TEMPLATE, ("strip_spaces",))
    assert TextCorpus(()).framing == Prompt("<s>{prompt}", ("strip_spaces",))
    assert JsonlCorpus((), normalise=NORMALISE).framing == Prompt()


def test_missing_and_damaged(tmp_path):
    with pytest.raises(TrainingError, match=r"train.jsonl: no such corpus file; write the corpus first"):
        pairs(tmp_path, "train")
    (tmp_path / "train.jsonl").write_text(to_line(RECORDS[0]) + "[]\n")
    with pytest.raises(TrainingError, match=r"train.jsonl:2: damaged line; write the corpus again"):
        pairs(tmp_path, "train")
