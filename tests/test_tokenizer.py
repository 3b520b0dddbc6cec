"""The pure-Python tokenizer against hand-made vocabularies; test_tokenizer_reference.py compares it with the library."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.tokenizer import _DIGIT, _WORD, Tokenizer, _isolate_digits, _split_words, byte_symbols


def make(merges=(), added=None, **kwargs) -> Tokenizer:
    vocab = {symbol: i for i, symbol in enumerate(byte_symbols())}
    for left, right in merges:
        vocab[left + right] = len(vocab)
    added = {name: len(vocab) + i for i, name in enumerate(added or ())}
    return Tokenizer(vocab, list(merges), added, **kwargs)


def spec(**changes):
    vocab = {symbol: i for i, symbol in enumerate(byte_symbols())}
    steps = [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
    ]
    return {
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "normalizer": None,
        "added_tokens": [{"id": 256, "content": "</s>"}],
        **changes,
    }


def write(tmp_path, content) -> str:
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_merges_go_by_rank_not_by_position():
    tokenizer = make([("b", "c"), ("a", "b"), ("bc", "d")])
    assert [tokenizer.decode([i]) for i in tokenizer.encode("abcd")] == ["a", "bcd"]
    assert [tokenizer.decode([i]) for i in tokenizer.encode("abd")] == ["ab", "d"]


def merged_plainly(word, merges):
    """The definition, step by step."""
    parts = list(word)
    while True:
        ranks = [merges.index(pair) if pair in merges else len(merges) for pair in pairwise(parts)]
        if not ranks or min(ranks) == len(merges):
            return parts
        at = ranks.index(min(ranks))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@given(st.text("abc", min_size=1, max_size=200))
def test_merges_are_those_of_the_definition(word):
    merges = [("a", "b"), ("b", "b"), ("ab", "a"), ("a", "a"), ("bb", "aba"), ("aa", "c"), ("aba", "ab")]
    tokenizer = make(merges)
    assert [tokenizer.decode([token]) for token in tokenizer.encode(word)] == merged_plainly(word, merges)


def test_the_time_of_a_long_word_is_in_proportion_to_it():
    tokenizer = make([("t", "h"), ("th", "e"), ("the", "the")])

    class Counting(dict):
        looked_up = 0

        def get(self, key):
            self.looked_up += 1
            return super().get(key)

    tokenizer._rank = ranks = Counting(tokenizer._rank)
    assert len(tokenizer.encode("the" * 10_000)) == 5_000
    assert ranks.looked_up < 10 * 30_000
    assert tokenizer._word.cache_info().currsize == 0  # and it takes no room when it is done


def test_digits_never_merge_and_words_do_not_cross_spaces():
    tokenizer = make([("1", "2"), ("a", "Ġ")])
    assert len(tokenizer.encode("12")) == 2
    assert len(tokenizer.encode("a b")) == 3
    assert len(make([("1", "2")], split_digits=False).encode("12")) == 1


def test_every_text_survives():
    tokenizer = make([("Ġ", "t"), ("Ġt", "h")], added=["</s>"])
    for text in ("", " ", "  the  thing ", "naïve 漢字 🙂\n\t", "don't we'll", "\x00\x7f", "</s>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_are_plain_text_unless_asked_for():
    tokenizer = make(added=["</s>", "</s"])
    assert len(tokenizer.encode("a</s>b")) == 6
    assert tokenizer.encode("a</s>b", specials=True) == [
        *tokenizer.encode("a"),
        tokenizer.token_id("</s>"),
        *tokenizer.encode("b"),
    ]
    assert tokenizer.decode(tokenizer.encode("a</s>", specials=True), specials=False) == "a"
    with pytest.raises(KeyError):
        tokenizer.token_id("<none>")


def test_a_file_is_read(tmp_path):
    tokenizer = Tokenizer.from_file(write(tmp_path, spec()))
    assert tokenizer.size == 257
    assert tokenizer.encode("12 </s>", specials=True)[-1] == 256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "Unigram"}}, "tokenizer model 'Unigram' is not supported: only BPE is"),
        (
            {"normalizer": {"type": "NFC"}},
            "tokenizer normalisers are not supported: put them into the manifest's prompt rules",
        ),
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            r"pre-tokenizers \['Whitespace'\] are not supported: use ByteLevel or Digits, ByteLevel",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
            "the ByteLevel pre-tokenizer must have add_prefix_space=false and use_regex=true",
        ),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}],
                }
            },
            "the Digits pre-tokenizer must have individual_digits=true",
        ),
        (
            {"model": {"vocab": {"a": 0}, "merges": []}},
            r"the tokenizer has no symbol for 255 byte values \(first: 0\): train it with the whole byte alphabet",
        ),
    ],
)
def test_what_is_not_supported_is_refused(tmp_path, change, message):
    with pytest.raises(ModelUnsupported, match=message):
        Tokenizer.from_file(write(tmp_path, spec(**change)))


def test_damaged_files(tmp_path):
    with pytest.raises(ModelNotFound, match=r"none\.json: no such tokenizer file"):
        Tokenizer.from_file(tmp_path / "none.json")
    with pytest.raises(ModelCorrupt, match="not a JSON tokenizer file"):
        Tokenizer.from_file(write(tmp_path, json.dumps(spec())[:100]))
    with pytest.raises(ModelCorrupt, match="malformed tokenizer"):
        Tokenizer.from_file(write(tmp_path, {"model": {"vocab": []}}))
    with pytest.raises(ModelCorrupt, match="malformed tokenizer"):
        Tokenizer.from_file(write(tmp_path, "[]"))


@given(st.text(st.one_of(st.sampled_from("ab' \t\n.-'stre1 \x1c"), st.characters(max_codepoint=127))))
def test_ascii_is_split_as_any_text_is(text):
    """The quick rules for ASCII are the general ones."""
    assert _WORD.findall(text) == list(_split_words(text))
    assert [run for run in _DIGIT.split(text) if run] == list(_isolate_digits(text))
