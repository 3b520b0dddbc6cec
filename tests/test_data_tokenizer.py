"""The trained tokenizer: size, whole byte alphabet, exact text, digits one by one."""

import hashlib
import json

import pytest
from home_rows import ROWS

from edgellm.data import tokenizer as bpe
from edgellm.errors import TrainingError
from edgellm.tokenizer import Tokenizer

pytestmark = pytest.mark.train

VOCAB = 320
WORDS = ("colour", "handle", "number", "shadow", "weight", "border")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    bpe.train_tokenizer(ROWS, VOCAB, place)
    return place


@pytest.fixture(scope="module")
def trained(path):
    return bpe.load_tokenizer(path)


def test_exact_vocabulary_and_control_tokens(trained):
    assert trained.get_vocab_size() == VOCAB
    assert [trained.token_to_id(token) for token in (bpe.PAD, bpe.START, bpe.END, bpe.TAB)] == [0, 1, 2, 3]


def test_same_rows_same_file(path, tmp_path):
    bpe.train_tokenizer(ROWS, VOCAB, tmp_path / "again.json")
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


def test_home_ids_are_what_they_were(trained):
    """Recorded before other kinds of corpus existed: shipped checkpoints rest on it."""
    ids, prompt = bpe.encode_rows(trained, ROWS)[0]
    assert ids == [
        1,
        288,
        289,
        269,
        231,
        317,
        312,
        88,
        295,
        3,
        7,
        8,
        231,
        317,
        312,
        88,
        9,
        295,
        3,
        292,
        289,
        269,
        295,
        2,
    ]
    assert prompt == 10
    every = json.dumps(bpe.encode_rows(trained, ROWS)).encode()
    assert hashlib.sha256(every).hexdigest()[:16] == "ff868033008eb73c"


def test_rows_are_encoded_and_decoded_exactly(trained):
    for row, (ids, prompt) in zip(ROWS, bpe.encode_rows(trained, ROWS), strict=True):
        assert ids[0] == bpe.START_ID
        assert ids[prompt - 1] == bpe.TAB_ID
        assert ids[-1] == bpe.END_ID
        assert bpe.decode(trained, ids[1 : prompt - 1]) == " " + row[0]
        assert bpe.decode(trained, ids[prompt:-1]) == f"{row[1]}\t{row[2]}"


def test_the_numpy_only_reader_agrees(path, trained):
    plain = Tokenizer.from_file(path)
    for command, _, _ in ROWS:
        assert plain.encode(" " + command) == trained.encode(" " + command).ids


def test_own_texts_with_special_tokens(tmp_path):
    texts = [f"step {n}: turn the big wheel {n} times and look at its {word}" for n, word in enumerate(WORDS)]
    tokenizer = bpe.train_on_texts(texts, ["<step>"], 290, tmp_path / "t.json")
    assert tokenizer.get_vocab_size() == 290
    assert tokenizer.token_to_id("<step>") == 4
    assert (
        Tokenizer.from_file(tmp_path / "t.json").encode("the wheel 12")
        == tokenizer.encode("the wheel 12").ids
    )


def test_too_small_a_vocabulary(tmp_path):
    with pytest.raises(
        TrainingError, match=r"vocab 266 is too small: 11 added tokens and 256 bytes are needed"
    ):
        bpe.train_tokenizer(ROWS, 266, tmp_path / "t.json")


def test_too_little_text(tmp_path):
    message = r"the corpus gave \d+ tokens, not 4000: use more lines, or a smaller vocab"
    with pytest.raises(TrainingError, match=message):
        bpe.train_tokenizer(ROWS, 4000, tmp_path / "t.json")


def test_damaged_file(tmp_path):
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(TrainingError, match="not a readable tokenizer"):
        bpe.load_tokenizer(tmp_path / "t.json")
