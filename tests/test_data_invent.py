"""Invented words."""

import random

import pytest

from edgellm.data.invent import Chain, syllables
from edgellm.data.words import Values, is_held_out, word_lists


def test_chain_words_are_new_and_made_of_known_triples():
    words = ["island", "silver", "candle", "sandal", "cinder"]
    chain, rng = Chain(words), random.Random(1)
    known = {("^^" + word + "$")[i : i + 3] for word in words for i in range(len(word) + 1)}
    drawn = {chain.draw(rng) for _ in range(50)}
    assert drawn
    for word in drawn:
        letters = "^^" + word + "$"
        assert word not in words
        assert {letters[i : i + 3] for i in range(len(letters) - 2)} <= known


def test_same_seed_same_words():
    chain = Chain(word_lists()["words"])
    assert [chain.draw(random.Random(5)) for _ in range(3)] == [
        chain.draw(random.Random(5)) for _ in range(3)
    ]


def test_lengths_and_letters():
    rng = random.Random(2)
    chain = Chain(word_lists()["words"])
    for _ in range(300):
        assert 3 <= len(chain.draw(rng)) <= 11
        assert syllables(word_lists(), rng).isalpha()


@pytest.mark.parametrize("held_out", [False, True])
def test_invented_words_keep_to_their_half(held_out):
    values = Values(random.Random(3), held_out)
    assert all(is_held_out(values.invented()) == held_out for _ in range(100))
