"""The trained tokenizer: size, whole byte alphabet, exact text, digits one by one."""

import random

import pytest

from edgellm.data import tokenizer as bpe
from edgellm.data.corpus import CorpusSize, draw_corpus
from edgellm.errors import TrainingError
from edgellm.tokenizer import Tokenizer

pytestmark = pytest.mark.train

VOCAB = 400


@pytest.fixture(scope="module")
def rows():
    examples = draw_corpus(CorpusSize(train=3000, valid=1, heldout=1), 2)["train"]
    return [(example.command, example.target, example.reply) for example in examples]


@pytest.fixture(scope="module")
def path(rows, tmp_path_factory):
    place = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    bpe.train_tokenizer(rows, VOCAB, place)
    return place


@pytest.fixture(scope="module")
def trained(path):
    return bpe.load_tokenizer(path)


def test_exact_vocabulary_and_control_tokens(trained):
    assert trained.get_vocab_size() == VOCAB
    assert [trained.token_to_id(token) for token in (bpe.PAD, bpe.START, bpe.END, bpe.TAB)] == [0, 1, 2, 3]


def test_same_rows_same_file(rows, path, tmp_path):
    bpe.train_tokenizer(rows, VOCAB, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_intents_and_keys_are_single_tokens(trained):
    ids = trained.encode("HassTurnOn area= kitchen").ids
    assert trained.id_to_token(ids[0]) == "HassTurnOn"
    assert trained.id_to_token(ids[1]) == " area="


def test_digits_are_single_tokens(trained):
    assert [trained.id_to_token(i) for i in trained.encode(" 215").ids][-3:] == ["2", "1", "5"]


def test_any_text_survives(trained):
    for text in (" grüße 東京 \U0001f600", " \x00\x7f", " ÀÿŁ "):
        assert bpe.decode(trained, trained.encode(text).ids) == text


def test_rows_are_encoded_and_decoded_exactly(rows, trained):
    for row, (ids, prompt) in zip(rows[:200], bpe.encode_rows(trained, rows[:200]), strict=True):
        assert ids[0] == bpe.START_ID
        assert ids[prompt - 1] == bpe.TAB_ID
        assert ids[-1] == bpe.END_ID
        assert bpe.decode(trained, ids[1 : prompt - 1]) == " " + row[0]
        assert bpe.decode(trained, ids[prompt:-1]) == f"{row[1]}\t{row[2]}"


def test_the_numpy_only_reader_agrees(rows, path, trained):
    plain = Tokenizer.from_file(path)
    rng = random.Random(1)
    for command, _, _ in rng.sample(rows, 300):
        assert plain.encode(" " + command) == trained.encode(" " + command).ids


def test_too_small_a_vocabulary(rows, tmp_path):
    with pytest.raises(
        TrainingError, match=r"vocab 300 is too small: \d+ added tokens and 256 bytes are needed"
    ):
        bpe.train_tokenizer(rows, 300, tmp_path / "t.json")


def test_too_little_text(rows, tmp_path):
    with pytest.raises(TrainingError, match=r"the corpus gave \d+ tokens, not 4000: use more lines"):
        bpe.train_tokenizer(rows[:200], 4000, tmp_path / "t.json")


def test_damaged_file(tmp_path):
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(TrainingError, match="not a readable tokenizer"):
        bpe.load_tokenizer(tmp_path / "t.json")
