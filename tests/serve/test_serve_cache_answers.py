"""Kept answers: how they are cut, written and read, and that nothing unsound is read."""

import json

import pytest
from caching import SHAPE, golden_llm, kept
from hypothesis import given
from hypothesis import strategies as st

from edgellm.runtime.choice import TokenInfo
from edgellm.serve.cache.answers import Cut, Kept, Shape, decode, encode

KEY = bytes(range(32))
INFO = TokenInfo(5, -0.25, ((5, -0.25), (7, -1.5)))


@pytest.mark.parametrize(
    ("answer", "most", "cut"),
    [
        (kept(1, 2, 3, reason="stop"), None, Cut((1, 2, 3), (), "stop")),
        (kept(1, 2, 3, reason="stop"), 4, Cut((1, 2, 3), (), "stop")),
        (kept(1, 2, 3, reason="context"), 3, Cut((1, 2, 3), (), "length")),
        (kept(1, 2, 3, reason="confidence"), 2, Cut((1, 2), (), "length")),
        (kept(1, 2, 3, reason="length"), 3, Cut((1, 2, 3), (), "length")),
        (kept(1, 2, 3, reason="length"), 4, None),
        (kept(1, 2, 3, reason="length"), None, None),
        (kept(reason="stop"), 1, Cut((), (), "stop")),
    ],
)
def test_cut(answer, most, cut):
    assert answer.cut(most) == cut


def test_infos_are_cut_with_their_tokens():
    answer = Kept((5, 5), (INFO, INFO), "stop", 0.0)
    assert answer.cut(1) == Cut((5,), (INFO,), "length")


def test_every_cut_is_what_the_golden_model_answers(tmp_path):
    """Of answers that end by stop, length and context, greedy and drawn."""
    with golden_llm(tmp_path / "toy") as llm:
        for number in range(24):
            options = {"temperature": 1.0, "seed": number} if number else {}
            for most in (None, 5):
                made = llm.generate("a" * (1 + number), max_tokens=most, **options)
                whole = Kept(tuple(made.tokens), (), made.finish_reason, 0.0)
                for shorter in range(1, len(made.tokens) + 3):
                    cut = whole.cut(shorter)
                    if cut is None:
                        assert (whole.reason, shorter) > ("length", len(made.tokens))
                        continue
                    want = llm.generate("a" * (1 + number), max_tokens=shorter, **options)
                    assert (list(cut.tokens), cut.reason) == (want.tokens, want.finish_reason)


def test_which_one_is_kept():
    short, long, whole = kept(1, reason="length"), kept(1, 2, reason="length"), kept(1, 2, 3)
    assert long.serves_more(short)
    assert not short.serves_more(long)
    assert whole.serves_more(long)
    assert not long.serves_more(whole)
    assert not whole.serves_more(whole)


numbers = st.floats(allow_nan=False, allow_infinity=False)
tokens = st.integers(0, 1 << 20)
infos = st.builds(TokenInfo, tokens, numbers, st.lists(st.tuples(tokens, numbers), max_size=3).map(tuple))


@given(
    st.builds(
        Kept,
        st.lists(tokens, max_size=5).map(tuple),
        st.lists(infos, max_size=3).map(tuple),
        st.sampled_from(["stop", "length", "context", "confidence"]),
        numbers,
    )
)
def test_what_is_written_is_read(answer):
    raw = encode(KEY, answer)
    assert decode(KEY, raw) == answer
    assert json.loads(raw)["answer"]["reason"] == answer.reason


def test_an_answer_of_another_key_is_none():
    raw = encode(KEY, kept(1, 2))
    assert decode(KEY[::-1], raw) is None


def test_every_truncation_and_every_changed_byte_is_noticed():
    raw = encode(KEY, Kept((5, 17), (INFO, TokenInfo(17, -1.0, ())), "stop", 1.5))
    for at in range(len(raw)):
        assert decode(KEY, raw[:at]) is None
        assert decode(KEY, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",  # a pickle
        b'{"answer":{},"sum":""}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_none(raw):
    assert decode(KEY, raw) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokens", [1.5]),
        ("tokens", ["1"]),
        ("tokens", [True]),
        ("tokens", None),
        ("reason", "deadline"),
        ("infos", [[1, 0.5]]),
        ("infos", [[1, 0.5, [[0, 0.0]] * 21]]),
        ("made", "now"),
        ("more", 1),
    ],
)
def test_a_sum_does_not_make_nonsense_sound(name, value):
    from edgellm.serve.cache import answers

    whole = json.loads(encode(KEY, kept(1)))["answer"] | {name: value}
    raw = json.dumps({"answer": whole, "sum": answers._sum(KEY, whole)}, separators=(",", ":")).encode()
    assert decode(KEY, raw) is None


@pytest.mark.parametrize(
    ("answer", "logprobs", "fits"),
    [
        (kept(1, 2), None, True),
        (kept(1, 259), None, False),
        (kept(-1), None, False),
        (kept(250), None, False),  # a stop id
        (kept(*[1] * 48), None, True),
        (kept(*[1] * 49), None, False),
        (kept(1), 2, False),
        (Kept((5,), (INFO,), "stop", 0.0), 2, True),
        (Kept((5,), (INFO,), "stop", 0.0), 3, False),
        (Kept((5,), (INFO,), "stop", 0.0), None, False),
        (Kept((6,), (INFO,), "stop", 0.0), 2, False),
        (Kept((5, 5), (INFO,), "stop", 0.0), 2, False),
    ],
)
def test_shape(answer, logprobs, fits):
    assert SHAPE.fits(answer, logprobs) is fits


def test_a_small_vocabulary_has_fewer_likeliest_tokens():
    two = Kept((1,), (TokenInfo(1, -0.1, ((1, -0.1), (0, -2.0))),), "stop", 0.0)
    assert Shape(2, 48, frozenset()).fits(two, 20)


def test_size_grows_with_all_that_is_kept():
    sizes = [kept().size(), kept(1).size(), Kept((1,), (INFO,), "stop", 0.0).size()]
    assert sizes == sorted(set(sizes))
