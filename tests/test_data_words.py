"""Word lists and the values composed from them."""

import random

import pytest

from edgellm.data.words import HELD_OUT_ONE_IN, Values, is_held_out, word_lists

DOMAINS = sorted(word_lists()["nouns"])


def names(held_out, domain, count=200):
    values = Values(random.Random(3), held_out)
    return [values.name(domain) for _ in range(count)]


def test_lists_are_large_enough_to_force_copying():
    lists = word_lists()
    assert len(lists["areas"]) > 80
    assert len(lists["words"]) > 800
    assert len(lists["people"]) > 100


@pytest.mark.parametrize("name", ["areas", "floors", "people", "modifiers", "foods", "words"])
def test_lists_hold_plain_lower_case_words_once(name):
    words = word_lists()[name]
    assert len(set(words)) == len(words)
    assert all(word == word.lower().strip() and word.replace(" ", "").isalpha() for word in words)


def test_words_and_areas_are_disjoint():
    lists = word_lists()
    assert not set(lists["words"]) & set(lists["areas"])


def test_about_an_eighth_is_held_out():
    words = word_lists()["words"]
    share = sum(map(is_held_out, words)) / len(words)
    assert 0.5 / HELD_OUT_ONE_IN < share < 2 / HELD_OUT_ONE_IN


def test_training_and_held_out_words_never_meet():
    train, held = Values(random.Random(1)), Values(random.Random(1), held_out=True)
    for _ in range(300):
        assert not is_held_out(train.word())
        assert not is_held_out(train.invented())
        assert is_held_out(held.word())
        assert is_held_out(held.invented())


@pytest.mark.parametrize("domain", DOMAINS)
def test_held_out_names_were_never_training_names(domain):
    assert not set(names(True, domain)) & set(names(False, domain, 1000))


def test_no_name_is_a_bare_noun_that_a_template_means_already():
    assert not {"light", "lights", "fan", "blinds", "mower"} & {
        name for domain in ("light", "fan", "cover", "lawn_mower") for name in names(False, domain, 500)
    }


def test_numbers_stay_in_real_life_ranges():
    values = Values(random.Random(2))
    assert {values.number("timer_minutes", 1, 100, 1) for _ in range(2000)} <= set(range(1, 60))
    kelvin = {values.number("color_temperature", 1000, 10000, 100) for _ in range(500)}
    assert all(2000 <= k <= 6500 and k % 100 == 0 for k in kelvin)
    assert {values.number("brightness", 0, 100, 1) for _ in range(5000)} == set(range(101))


def test_same_seed_same_values():
    def draw():
        values = Values(random.Random(9))
        return [(values.item(), values.task(), values.message(), values.search_query()) for _ in range(50)]

    assert draw() == draw()


def test_training_words_begin_with_small_ones_now_and_then():
    """`island` is cut into `is` and `land`: only words like that teach not to take them for two."""
    values = Values(random.Random(8))
    small = tuple(word_lists()["small_words"])
    drawn = [values.invented() for _ in range(2000)]
    share = sum(word.startswith(tuple(w for w in small if len(w) > 2)) for word in drawn) / len(drawn)
    assert 0.08 < share < 0.4


def test_people_in_training_may_have_names_that_nobody_knows():
    values, known = Values(random.Random(8)), set(word_lists()["people"])
    unknown = sum(values.name("person") not in known for _ in range(500))
    assert 100 < unknown < 300
    held_out = Values(random.Random(8), held_out=True)
    assert all(held_out.name("person") in known for _ in range(100))
