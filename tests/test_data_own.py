"""Taking in an own corpus: same sources, same bytes; split without leaks; nothing longer than the context."""

import gzip
import hashlib
import json

import pytest

from edgellm.data import own, records
from edgellm.data.own import write_corpus
from edgellm.data.parts import Split, Survey, split_of
from edgellm.data.records import JsonlCorpus, Record, TextCorpus
from edgellm.errors import TrainingError

pytestmark = pytest.mark.train

SHAPE = 270, 48  # vocabulary, context
STORY = "The mill stood by the river. A child came every day! Nobody knew why? It went on and on."


@pytest.fixture
def take(tmp_path):
    """Writes a corpus with a name of its own; returns its folder."""

    def run(corpus, name="corpus", seed=1, shape=SHAPE):
        folder = tmp_path / name
        folder.mkdir()
        write_corpus(folder, corpus, tmp_path / f"{name}.tokenizer.json", shape, seed)
        return folder

    return run


def jsonl(path, pairs):
    path.write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs))
    return path


@pytest.fixture
def lines(tmp_path):
    return jsonl(tmp_path / "a.jsonl", [(f"what is {n}", f"{n} is a number") for n in range(60)])


def about(folder):
    return json.loads((folder / "corpus.json").read_text())


def test_same_sources_same_bytes_and_another_seed_another_split(take, lines):
    corpus = JsonlCorpus((lines,), valid_share=0.2)
    folders = [take(corpus, "a"), take(corpus, "b"), take(corpus, "c", seed=2)]
    for name in ("train.jsonl", "valid.jsonl", "corpus.json"):
        content = [(folder / name).read_bytes() for folder in folders]
        assert content[0] == content[1] != content[2]


def test_every_line_is_on_one_side_and_in_order(take, lines):
    folder = take(JsonlCorpus((lines,), valid_share=0.2))
    train, valid = (list(records.read_split(folder, part)) for part in ("train", "valid"))
    assert 3 < len(valid) < 30
    every = [f"what is {n}" for n in range(60)]
    assert sorted(record.prompt for record in train + valid) == sorted(every)
    assert [record.prompt for record in train] == sorted((r.prompt for r in train), key=every.index)
    assert about(folder)["lines"] == {"train": len(train), "valid": len(valid)}
    assert about(folder)["sources"] == [
        {"name": "a.jsonl", "sha256": hashlib.sha256(lines.read_bytes()).hexdigest()}
    ]


def test_equal_prompts_stay_together_whatever_their_case(take, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [(p, str(n)) for n in range(40) for p in (f"Ask {n}", f"ask {n}")])
    folder = take(JsonlCorpus((path,), valid_share=0.3), shape=(262, 48))
    sides = [{r.prompt.lower() for r in records.read_split(folder, part)} for part in ("train", "valid")]
    assert not sides[0] & sides[1]
    assert about(folder)["lines"]["valid"] % 2 == 0


def test_validation_is_bounded_in_bytes():
    corpus = JsonlCorpus((), valid_share=0.05, valid_bytes=1000)
    assert split_of(corpus, Survey(10, 10_000), 1).share == 0.05
    assert split_of(corpus, Survey(9999, 1_000_000), 1).share == 0.001


def test_a_validation_file_and_what_training_shares_with_it(take, lines, tmp_path):
    valid = jsonl(tmp_path / "v.jsonl", [("WHAT IS 7", "seven"), ("what else", "nothing")])
    folder = take(JsonlCorpus((lines,), (valid,)))
    assert records.pairs(folder, "valid") == [("WHAT IS 7", "seven"), ("what else", "nothing")]
    assert "what is 7" not in dict(records.pairs(folder, "train"))
    assert about(folder)["lines"] == {"train": 59, "valid": 2}
    assert about(folder)["left_out_of_train"] == 1


def test_a_line_too_long_for_the_context_is_named(take, lines):
    with lines.open("a") as file:
        file.write(json.dumps({"prompt": "how long", "completion": "7" * 60}) + "\n")
    with pytest.raises(TrainingError) as caught:
        take(JsonlCorpus((lines,)))
    assert str(caught.value).startswith(f"{lines}:61: prompt (11) and completion (61)")
    assert str(caught.value).endswith(
        "and completion (61) take 72 tokens, the context holds 48: shorten the line, raise the context of teacher "
        "and student, or set corpus.drop_bad_lines = true"
    )


def test_dropped_lines_are_counted(take, lines, capfd):
    with lines.open("a") as file:
        file.write(json.dumps({"prompt": "how long", "completion": "7" * 60}) + "\n{}\n")
    folder = take(JsonlCorpus((lines,), valid_share=0.2, drop_bad_lines=True))
    assert about(folder)["dropped"] == {"field prompt": 1, "too long": 1}
    assert about(folder)["first_dropped"]["field prompt"].startswith(f"{lines}:62: field prompt is missing")
    assert sum(about(folder)["lines"].values()) == 60
    assert "dropped 2" in capfd.readouterr().err


def test_long_texts_are_cut_and_only_the_last_piece_ends(take, tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\n".join(f"{STORY} Number {n}." for n in range(40)).encode()))
    folder = take(TextCorpus((path,), valid_share=0.2))
    pieces = list(records.read_split(folder, "train"))
    assert {record.prompt for record in pieces} == {""}
    assert sum(record.ends for record in pieces) < len(pieces)
    document = ""
    for piece in pieces:
        document = f"{document} {piece.completion}".strip()
        if piece.ends:
            assert document.startswith(STORY)
            document = ""
    framer = own.Framer(tmp_path / "corpus.tokenizer.json", TextCorpus(()))
    encoded = framer.examples(pieces)
    assert max(encoded.lengths()) <= 48
    assert about(folder)["tokens"]["train"] == sum(encoded.lengths())


def test_pieces_fill_the_context(take, tmp_path):
    """A piece has room for the start token and, in case it is the last, the end token."""
    (tmp_path / "a.txt").write_text("7" * 92 + "\n" + "8" * 46 + "\n" + STORY)
    (tmp_path / "v.txt").write_text("valid")
    folder = take(TextCorpus((tmp_path / "a.txt",), (tmp_path / "v.txt",)), shape=(262, 48))
    framer = own.Framer(tmp_path / "corpus.tokenizer.json", TextCorpus(()))
    assert framer.examples(records.read_split(folder, "train")).lengths()[:3] == [47, 48, 48]


def test_an_existing_tokenizer_is_kept(take, lines, tmp_path):
    take(JsonlCorpus((lines,), valid_share=0.2), "a")
    kept = tmp_path / "b.tokenizer.json"
    kept.write_bytes((tmp_path / "a.tokenizer.json").read_bytes())
    take(JsonlCorpus((lines,), valid_share=0.2), "b", shape=(9999, 48))
    assert kept.read_bytes() == (tmp_path / "a.tokenizer.json").read_bytes()


def test_the_tokenizer_sees_a_sample_of_a_large_corpus(monkeypatch, lines):
    corpus = JsonlCorpus((lines,))
    every = list(own._sample(corpus, Split(1, 0.0, frozenset()), Survey(60, 1200)))
    monkeypatch.setattr(own, "SAMPLE_BYTES", 500)
    some = list(own._sample(corpus, Split(1, 0.0, frozenset()), Survey(60, 1200)))
    assert (len(every), some) == (120, [text for n in range(0, 120, 6) for text in every[n : n + 2]])


def test_validation_text_is_not_in_the_tokenizer(lines):
    split = Split(1, 0.5, frozenset())
    sample = list(own._sample(JsonlCorpus((lines,)), split, Survey(60, 1200)))
    held = [n for n in range(60) if split.part(Record(f"what is {n}", "")) == "valid"]
    assert held
    assert not {f" what is {n}" for n in held} & set(sample)


def test_empty_parts(take, lines, tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(TrainingError, match=r"empty.txt: no usable line to train on$"):
        take(TextCorpus((tmp_path / "empty.txt",)), "a")
    (tmp_path / "bad.jsonl").write_text("{}\n[]\n")
    with pytest.raises(
        TrainingError, match=r"no usable line to train on: 2 dropped, for example .*bad.jsonl:1: field"
    ):
        take(JsonlCorpus((tmp_path / "bad.jsonl",), drop_bad_lines=True), "b")
    with pytest.raises(
        TrainingError, match=r"the validation part is empty: raise corpus.valid_share \(1e-09\), give"
    ):
        take(JsonlCorpus((lines,), valid_share=1e-9), "c")
    with pytest.raises(
        TrainingError, match=r"the training part is empty: every line is held out, or asks what a"
    ):
        take(JsonlCorpus((lines,), (lines,)), "d")
