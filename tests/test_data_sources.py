"""Lines of an own corpus: every wrong one is named with file, line and field, or counted when it may be dropped."""

import json

import pytest

from edgellm.data import sources
from edgellm.data.records import JsonlCorpus, Record, TextCorpus
from edgellm.data.sources import Tally, read
from edgellm.errors import TrainingError

GOOD = '{"prompt": " Hi  there! ", "completion": "Hello\\tyou"}'


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "c.jsonl"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
        return path

    return write


def records(corpus, drop=False):
    tally = Tally(drop)
    return [
        (found.record, found.where.rsplit("/", 1)[1]) for found in read(corpus, corpus.train, tally)
    ], tally


def test_pairs_are_normalised_as_prompts_will_be(file):
    path = file(GOOD, "", '{"id": 7, "completion": " b ", "prompt": "a"}')
    assert records(JsonlCorpus((path,)))[0] == [
        (Record("Hi  there!", "Hello\tyou"), "c.jsonl:1"),
        (Record("a", " b "), "c.jsonl:3"),
    ]
    rules = ("lowercase", "collapse_spaces", "strip_final_punctuation")
    assert records(JsonlCorpus((path,), normalise=rules))[0][0][0].prompt == "hi there"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"completion": "b", "promt": "a"}', "field prompt is missing; the line has completion, promt"),
        ("{}", "field prompt is missing; the line has no fields"),
        ('{"prompt": "a"}', "field completion is missing; the line has prompt"),
        ('{"prompt": 3, "completion": "b"}', "field prompt must be a string, not 3"),
        ('{"prompt": "a", "completion": null}', "field completion must be a string, not null"),
        ('{"prompt": "a", "completion": ["b"]}', 'field completion must be a string, not ["b"]'),
        ('{"prompt": "a", "completion": " \\n"}', "field completion is empty"),
        ('{"prompt": "", "completion": "b"}', "field prompt is empty"),
        (
            '{"prompt": "a\\ud800", "completion": "b"}',
            "field prompt holds half a character, U+D800, at position 1",
        ),
        ('["a", "b"]', 'not a JSON object: write {"prompt": "...", "completion": "..."}'),
        ('{"prompt": "a" "completion": "b"}', "not JSON: Expecting ',' delimiter at column 16"),
        ("[" * 100_000, "not JSON: a number or a nesting beyond all bounds"),
        ("1" * 5000, "not JSON: a number or a nesting beyond all bounds"),
        (b'{"prompt": "\xff"}', "not UTF-8: byte 0xff at column 13: convert the file to UTF-8"),
    ],
)
def test_a_wrong_line_is_named(file, line, message):
    path = file(GOOD, line)
    with pytest.raises(TrainingError) as caught:
        records(JsonlCorpus((path,)))
    assert str(caught.value) == f"{path}:2: {message}"


def test_a_prompt_that_normalises_to_nothing(file):
    path = file('{"prompt": "?!", "completion": "b"}')
    with pytest.raises(
        TrainingError, match=r"c.jsonl:1: field prompt is empty after strip_final_punctuation"
    ):
        records(JsonlCorpus((path,), normalise=("strip_final_punctuation",)))


def test_wrong_lines_are_counted_when_they_may_be_dropped(file):
    path = file("[]", GOOD, "{}", '{"prompt": "a", "completion": ""}', '{"prompt": 1}', b"\xff")
    found, tally = records(JsonlCorpus((path,)), drop=True)
    assert [where for _, where in found] == ["c.jsonl:2"]
    assert tally.counts == {"not JSON": 1, "field prompt": 2, "field completion": 1, "unreadable": 1}
    assert tally.first["field prompt"] == f"{path}:3: field prompt is missing; the line has no fields"


def test_a_text_line_is_a_document(file):
    corpus = TextCorpus((file("  One day. ", "", "Another <s>\tday."),))
    assert records(corpus)[0] == [
        (Record("", "One day."), "c.jsonl:1"),
        (Record("", "Another <s>\tday."), "c.jsonl:3"),
    ]


def test_documents_between_blank_lines(file):
    path = file("", "One", "day.", " ", "", "Another", "  day.", "")
    assert records(TextCorpus((path,), separator="blank_line"))[0] == [
        (Record("", "One\nday."), "c.jsonl:2"),
        (Record("", "Another\n  day."), "c.jsonl:6"),
    ]


def test_a_document_with_an_unusable_line_is_unusable(file):
    path = file("One", b"d\xffy.", "", "Another")
    corpus = TextCorpus((path,), separator="blank_line")
    found, tally = records(corpus, drop=True)
    assert [record.completion for record, _ in found] == ["Another"]
    assert list(tally.first.values()) == [
        f"{path}:1: line 2 of the document is not UTF-8: byte 0xff at column 2: convert the file to UTF-8"
    ]


def test_a_document_without_end_is_divided(file, monkeypatch):
    monkeypatch.setattr(sources, "MOST_LINE", 12)
    path = file(*["12345"] * 5)
    found, _ = records(TextCorpus((path,), separator="blank_line"))
    assert [record.completion.split() for record, _ in found] == [["12345"] * 2, ["12345"] * 2, ["12345"]]


def test_several_files_one_after_the_other(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(json.dumps({"prompt": name, "completion": "x"}))
    found, _ = records(JsonlCorpus((tmp_path / "b", tmp_path / "a")))
    assert [where for _, where in found] == ["b:1", "a:1"]
