"""Cases as tokens."""

import pytest
from evaluation_model import COMMAND, RIGHT, case_set
from toy import BOS, EOS, TAB, write_model

from edgellm import manifest
from edgellm.errors import EmptyPrompt
from edgellm.evaluation.examples import Codec, Example
from edgellm.evaluation.sets import Case
from edgellm.tokenizer import Tokenizer


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "toy")


@pytest.fixture
def codec(folder):
    return Codec.of(folder)


def test_a_command_is_put_as_a_user_puts_it(codec):
    (example,) = codec.examples(case_set(Case(1, " Turn  ON the lamp! ", *RIGHT.split("\t"))))
    assert example.prompt == [BOS, *b" turn on the lamp", TAB]
    assert example.expected == [*RIGHT.split("\t")[0].encode(), TAB, *b"Turned on the light", EOS]
    assert example.ended
    assert codec.text(example.expected[:-1]) == RIGHT
    assert codec.context == 48


def test_without_a_reply_the_answer_is_open_behind_the_tab(codec):
    (example,) = codec.examples(case_set(Case(1, "stop", "HassNevermind")))
    assert example.expected == [*b"HassNevermind", TAB]
    assert not example.ended


def test_plain_text_has_no_control_tokens_in_it(codec):
    cases = [Case(1, "", "a\tb</s>c"), Case(2, "p", "on and", ends=False)]
    whole, part = codec.examples(case_set(*cases, commands=False))
    assert whole.prompt == [BOS, *b" ", TAB]
    assert whole.expected == [*b"a\tb</s>c", EOS]
    assert (part.expected, part.ended) == ([*b"on and"], False)


def test_added_tokens_count_in_plain_text(folder):
    def codec(added):
        symbols = {s: i for i, s in enumerate(Tokenizer.from_file(folder / "tokenizer.json")._byte_of)}
        return Codec(manifest.read(folder), Tokenizer(symbols, [], {"<s>": BOS, "\t": TAB, **added}))

    cases = case_set(Case(1, "<tag>", "a\t<tag>b<s>"), commands=False)
    (example,) = codec({"<tag>": 300}).examples(cases)
    assert example.prompt == [BOS, *b" <tag>", TAB]
    assert example.expected == [*b"a\t", 300, *b"b<s>", EOS]


def test_a_prompt_of_which_nothing_is_left(codec):
    cases = case_set(COMMAND, Case(7, "?!", "HassNevermind"))
    with pytest.raises(EmptyPrompt, match=r"^somewhere/tried\.tsv:7: nothing is left of the prompt '\?!'$"):
        codec.examples(cases)


def test_what_is_fed_predicts_every_expected_token_once():
    example = Example([1, 2, 3], [7, 8, 9], True)
    assert example.fed == [1, 2, 3, 7, 8]
    assert len(example.fed) - len(example.prompt) + 1 == len(example.expected)


def test_an_answer_is_known_only_if_every_pick_is_the_expected_one():
    example = Example([1], [7, 8, 2], True)
    assert example.confirmed([7, 8, 2]) == [7, 8]
    assert example.confirmed([7, 8, 3]) is None
    assert example.confirmed([5, 8, 2]) is None
    assert Example([1], [7, 8], False).confirmed([7, 8]) == [7, 8]


def test_room_for_an_answer():
    assert Example([1], [5] * 10, True).room == 64
    assert Example([1], [5] * 100, True).room == 116
