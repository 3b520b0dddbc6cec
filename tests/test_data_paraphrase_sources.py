"""Lists for the teacher: the same label and values in a list, other labels with the same values in the rivals'."""

import paraphrase_corpus
import pytest

from edgellm.data.lexicon import Command, Lexicon
from edgellm.data.paraphrase_sources import Sources

pytestmark = pytest.mark.train


def build(seed=1, rows=None):
    commands = [Command.of(row) for row in rows or paraphrase_corpus.rows()]
    return Sources(commands, Lexicon.of(commands), seed)


def test_lists():
    chosen = build().choose(per_intent=3, shown=4, rivals=2)
    intents = [source.command.intent for source in chosen]
    assert intents[:6] == sorted({*intents})  # the first of each intent, then the second of each, ...
    assert intents == intents[:6] * 3
    for source in chosen:
        command = source.command
        assert source.shown[-1] == command.text
        assert len({*source.shown}) == len(source.shown) > 2
        for line in source.shown + sum(source.rivals, ()):
            assert all(value in line for value in command.copied.values())
        for line in sum(source.rivals, ()):
            assert line not in source.shown


def test_the_nearest_other_label_comes_first():
    for source in build().choose(per_intent=3, shown=4, rivals=1):
        if source.command.intent == "HassTurnOn":
            assert all(
                "off" in line.split() or "fans" in line or "lights" in line for line in source.rivals[0]
            )
        if source.command.intent == "HassStartTimer":
            assert source.rivals == ()  # no other label has minutes


def test_sources_are_of_many_shapes():
    chosen = build().choose(per_intent=2, shown=3, rivals=0)
    shapes = [source.command.shape for source in chosen if source.command.intent == "HassTurnOn"]
    assert len({*shapes}) == 2


def test_fewer_sources_are_the_first_of_more():
    assert build().choose(1, 4, 2) == build().choose(3, 4, 2)[:6]


def test_same_seed_same_sources():
    assert build(3).choose(2, 4, 2) == build(3).choose(2, 4, 2) != build(4).choose(2, 4, 2)


def test_odd_values_and_long_lines_are_not_shown():
    rows = paraphrase_corpus.rows() * 40
    rows += [
        (f"turn on the {word} lights", f"HassTurnOn area= {word} domain= light", "On") for word in ("zirp",)
    ]
    rows += [("turn " + "on " * 14 + "the den lights", "HassTurnOn area= den domain= light", "On")] * 40
    sources = build(rows=rows)
    sources.lexicon.lines_with["zirp"] = 0
    chosen = sources.choose(per_intent=2000, shown=3, rivals=0)
    assert not any("zirp" in line or "on on" in line for source in chosen for line in source.shown)


def test_others_have_the_same_shape_and_other_values():
    sources = build()
    source = sources.choose(1, 3, 0)[0]
    others = sources.others(source, 3)
    assert len(others) == 3
    assert all(other.shape == source.command.shape for other in others)
    assert all(other.copied != source.command.copied for other in others)
