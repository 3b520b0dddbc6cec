"""Long texts in pieces: nothing lost but white space, each fits, borders where a reader would put them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.data.pieces import cut


def starts(text):
    """A token a byte."""
    return [at for at, char in enumerate(text) for _ in char.encode()]


def words(text):
    """A token a word with its space."""
    return [0, *(at for at, char in enumerate(text) if char == " ")] if text else []


@given(st.text(alphabet="ab. \n!東é'", max_size=200), st.integers(4, 20))
def test_nothing_is_lost_and_everything_fits(text, most):
    pieces = list(cut(text, starts, most))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    for piece in pieces:
        assert piece == piece.strip() != ""
        assert len(starts(piece)) <= most


def test_sentences_first():
    text = "One two three. Four five! Six seven eight nine ten."
    assert list(cut(text, words, 6)) == ["One two three. Four five!", "Six seven eight nine ten."]


def test_a_sentence_that_just_fits():
    assert list(cut("One two three. Four five six.", words, 3)) == ["One two three.", "Four five six."]
    assert list(cut("東京。京都。", starts, 9)) == ["東京。", "京都。"]


def test_then_lines_words_and_tokens():
    assert list(cut("one two three\nfour five six", words, 4)) == ["one two three", "four five six"]
    assert list(cut("one two three four five", words, 3)) == ["one two three", "four five"]
    assert list(cut("abcdefgh", starts, 5)) == ["abcde", "fgh"]
    assert list(cut("東京東京", starts, 5)) == ["東", "京", "東", "京"]


def test_a_border_in_the_first_half_is_no_border():
    assert list(cut("A. bcd efg hij klm nop", words, 5)) == ["A. bcd efg hij klm", "nop"]


@pytest.mark.parametrize("text", ["", " \n "])
def test_nothing_to_cut(text):
    assert list(cut(text, starts, 4)) == []


def test_a_text_that_fits_stays_whole():
    assert list(cut(" One. Two. ", starts, 64)) == ["One. Two."]


def test_a_long_text_takes_time_in_proportion():
    """Only a window is encoded for each piece."""
    seen = 0

    def counted(text):
        nonlocal seen
        seen += len(text)
        return starts(text)

    text = "word " * 20_000
    assert len(list(cut(text, counted, 100))) > 900
    assert seen < 10 * len(text)


def test_a_contraction_that_a_border_would_cut():
    """`'re` may be one token fewer than `'r` and `e` apart."""

    def merged(text):
        begins, at = [], 0
        while at < len(text):
            begins.append(at)
            at += 2 if text.startswith("'r", at) and text.startswith("e", at + 2) else 1
        return begins

    pieces = list(cut("aaaa're" * 3, merged, 5))
    assert "".join(pieces) == "aaaa're" * 3
    assert all(len(merged(piece)) <= 5 for piece in pieces)
