"""Which templates can say a line; and that none used for training can say one of the free set."""

import dataclasses

import pytest

from edgellm.data import corpus, testsets
from edgellm.data.producers import producers
from edgellm.data.templates import load_grammar

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def some():
    """The grammar with the templates of two intents."""
    source = load_grammar()
    kept = tuple(t for t in source.templates if t.intent in ("HassNevermind", "HassShoppingListAddItem"))
    return dataclasses.replace(source, templates=kept)


def test_a_template_that_says_the_line_is_found(some):
    rows = [("Add oat milk to my shopping list.", "HassShoppingListAddItem item= oat milk")]
    assert (
        "HassShoppingListAddItem",
        "add {shopping_list_item:item} to [my|the] [shopping] list",
    ) in producers(some, rows)


def test_another_value_is_another_line(some):
    rows = [("add oat milk to my shopping list", "HassShoppingListAddItem item= bread")]
    assert producers(some, rows) == set()


def test_another_intent_is_not_asked(some):
    assert producers(some, [("nevermind", "HassShoppingListAddItem item= bread")]) == set()
    assert producers(some, [("nevermind", "HassNevermind")]) >= {("HassNevermind", "nevermind")}


def test_no_training_template_can_say_a_line_of_the_free_set():
    source = load_grammar()
    known, unseen = corpus.split_templates(source.templates)
    used = dataclasses.replace(source, templates=(*known, *unseen))
    rows = [tuple(line.split("\t")[:2]) for line in testsets.text_of("free").splitlines()]
    assert producers(used, rows) == set()
