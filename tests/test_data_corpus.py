"""The corpus: reproducible, split without leaks, parseable, nothing to guess in an answer."""

import random
import re

import pytest

from edgellm.data import corpus, testsets
from edgellm.data.corpus import (
    HomeCorpus,
    draw_corpus,
    read_split,
    split_templates,
    write_corpus,
)
from edgellm.data.expand import Expander
from edgellm.data.templates import load_grammar
from edgellm.data.testsets import normal_form
from edgellm.data.words import Values
from edgellm.errors import TrainingError, UsageError

pytestmark = pytest.mark.train

SIZE = HomeCorpus(train=4000, valid=50)


@pytest.fixture(scope="module")
def splits():
    return draw_corpus(SIZE, seed=5)


def test_same_seed_same_bytes(tmp_path):
    small = HomeCorpus(train=300, valid=20)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_corpus(tmp_path / name, small, seed)
    for split in corpus.SPLITS:
        content = [(tmp_path / name / f"{split}.tsv").read_bytes() for name in "abc"]
        assert content[0] == content[1] != content[2]


def test_sizes(splits):
    assert {name: len(lines) for name, lines in splits.items()} == {"train": 4000, "valid": 50}


def test_no_test_command_is_in_any_training_line(splits):
    train = {normal_form(example.command) for example in splits["train"]}
    valid = {normal_form(example.command) for example in splits["valid"]}
    assert not train & valid
    assert not (train | valid) & testsets.asked()


def test_paraphrases_come_on_top(tmp_path, monkeypatch):
    lines = corpus.PARAPHRASES.read_text().splitlines()
    asked, held_out = (line.split("\t")[0] for line in lines[:2])
    monkeypatch.setattr(testsets, "asked", lambda: {normal_form(asked)})
    assert corpus.reworded([held_out.upper()]) == lines[2:]
    write_corpus(tmp_path, HomeCorpus(train=30, valid=5, paraphrases=2), 1)
    written = (tmp_path / "train.tsv").read_text().splitlines()
    assert written[30:] == lines[1:] * 2
    assert len(set(written[:30])) == 30
    with pytest.raises(UsageError, match="must be positive"):
        write_corpus(tmp_path, HomeCorpus(train=30, paraphrases=-1), 1)


def test_a_line_that_the_test_sets_ask_is_never_drawn(monkeypatch):
    plain = draw_corpus(HomeCorpus(train=50, valid=1), 3)["train"]
    barred = normal_form(plain[10].command)
    monkeypatch.setattr(testsets, "asked", lambda: {barred})
    again = draw_corpus(HomeCorpus(train=50, valid=1), 3)["train"]
    assert barred not in {normal_form(example.command) for example in again}
    assert {example.command for example in plain} - {plain[10].command} <= {e.command for e in again}


def test_half_of_the_lines_are_free_phrasings():
    source, rng = load_grammar(), random.Random(1)
    sampler = corpus.Sampler(source, list(source.templates), rng, False)
    stiff = {template.sentence for template in source.templates if not template.free}
    drawn = [
        sampler.rng.choice(sampler._groups(i, sampler.rng.random() < corpus.FREE_SHARE))
        for i in sampler.intents * 60
    ]
    free = sum(group[0].sentence not in stiff for group in drawn) / len(drawn)
    assert 0.4 < free < 0.7


def test_commands_are_unique_and_plain(splits):
    commands = [example.command for lines in splits.values() for example in lines]
    assert len(set(commands)) == len(commands)
    for command in commands:
        assert command == " ".join(command.split())
        assert not re.search("[\ue000-\uf8ff<>{}\\[\\]|]", command)


def test_open_values_are_copied_from_the_command(splits):
    for example in splits["train"]:
        for key, value in example.slots:
            if key in ("area", "floor", "name", "item", "message", "search_query", "conversation_command"):
                assert value in example.command.lower(), example


def test_replies_are_rendered(splits):
    replies = [example.reply for example in splits["train"]]
    assert not any("{" in reply or "Let me check" in reply or not reply.strip() for reply in replies)
    assert len(set(replies)) > 500


def test_every_intent_occurs(splits):
    wanted = {template.intent for template in load_grammar().templates}
    assert wanted == {example.intent for example in splits["train"]}
    assert len(wanted) > 40


def test_held_out_templates_leave_half_of_each_combination():
    known, unseen = split_templates(load_grammar().templates)
    assert not set(map(id, known)) & set(map(id, unseen))
    assert len(unseen) > 20
    assert {template.group for template in unseen} <= {template.group for template in known}


def test_every_template_expands():
    source, rng = load_grammar(), random.Random(0)
    expander = Expander(source, rng, Values(rng))
    for template in source.templates:
        example = expander.expand(template)
        assert example.command
        assert example.target.startswith(template.intent)


def test_one_command_has_one_meaning():
    source, rng = load_grammar(), random.Random(4)
    known, _ = split_templates(source.templates)
    sampler = corpus.Sampler(source, known, rng, False)
    meanings: dict[str, set[str]] = {}
    for _ in range(4000):
        example = sampler.draw()
        meanings.setdefault(normal_form(example.command), set()).add(example.target)
    assert {command: found for command, found in meanings.items() if len(found) > 1} == {}


def test_lines_read_back_as_written(tmp_path, splits):
    write_corpus(tmp_path, HomeCorpus(train=40, valid=5), 1)
    rows = read_split(tmp_path, "train")
    assert len(rows) == 40
    assert all(re.fullmatch(r"Hass\w+( \w+= [^\t]+)*", row[1]) for row in rows)


def test_missing_split(tmp_path):
    with pytest.raises(TrainingError, match="no such corpus file; write the corpus first"):
        read_split(tmp_path, "train")


def test_damaged_line_is_named(tmp_path):
    (tmp_path / "train.tsv").write_text("a\tb\tc\nonly one column\n")
    with pytest.raises(TrainingError, match=r"train.tsv:2: 1 columns, expected command, target, reply"):
        read_split(tmp_path, "train")


def test_empty_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="corpus sizes must be positive"):
        write_corpus(tmp_path, HomeCorpus(train=0), 1)


def test_exhausted_grammar_says_so():
    with pytest.raises(TrainingError, match="gave only 1 of 2 different commands: ask for fewer lines"):
        example = draw_corpus(HomeCorpus(1, 1), 1)["train"][0]
        corpus.draw_unique(2, lambda: example, set(), lambda: None)
