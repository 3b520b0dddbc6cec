"""From typed text to prompt ids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm import manifest, prompt
from edgellm.errors import EmptyPrompt, ModelUnsupported, PromptNotText, PromptTooLong
from edgellm.manifest import Prompt
from edgellm.tokenizer import Tokenizer, byte_symbols

RULES = ("lowercase", "collapse_spaces", "strip_final_punctuation")


@pytest.fixture(scope="module")
def tokenizer():
    vocab = {symbol: i for i, symbol in enumerate(byte_symbols())}
    return Tokenizer(vocab, [], {"<s>": 256, "\t": 257})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Uh, turn it on , please!", "uh turn it on please"),
        ("it's 7:30, set 2.5; ok?", "it's 7:30 set 2.5 ok"),
        ("what's up?!", "what's up"),
    ],
)
def test_punctuation_between_words_goes_and_inside_words_stays(text, wanted):
    assert prompt.normalise(text, manifest.NORMALISE) == wanted


@given(st.text("!., x\n", max_size=40), st.sampled_from(["strip_punctuation", "strip_final_punctuation"]))
def test_what_punctuation_is(text, rule):
    plain = {"strip_punctuation": r"[.,;:!?]+(?=\s|$)", "strip_final_punctuation": r"[\s.!?]+$"}
    assert prompt.normalise(text, [rule]) == re.sub(plain[rule], "", text)


@pytest.mark.parametrize("rule", ["strip_punctuation", "strip_final_punctuation"])
def test_a_long_run_of_punctuation_is_read_once(rule):
    text = "!" * 200_000 + "x"  # four minutes where every place in it is tried
    assert prompt.normalise(text, [rule]) == text


def test_rules_apply_in_order():
    assert prompt.normalise("  Turn ON\n the  Light!! ", RULES) == "turn on the light"
    assert prompt.normalise("Set 21.5", ["lowercase"]) == "set 21.5"
    assert prompt.normalise("\n Once upon  a time. \n", ["strip_spaces"]) == "Once upon  a time."
    with pytest.raises(
        ModelUnsupported, match=r"prompt rule 'rot13' is not known \(known: lowercase, .*\): update edgellm"
    ):
        prompt.normalise("x", ["rot13"])


def test_template_tokens_are_special_only_in_the_template(tokenizer):
    ids = prompt.prepare("a<s>", tokenizer, Prompt("<s> {prompt}\t", ()), 64)
    assert ids == [256, *tokenizer.encode(" a<s>"), 257]
    assert ids.count(256) == 1


def test_the_context_may_be_filled_exactly(tokenizer):
    assert len(prompt.prepare("abcd", tokenizer, Prompt("<s>{prompt}", ()), 5)) == 5
    with pytest.raises(PromptTooLong, match="the prompt has 6 tokens, the context holds 5: shorten it"):
        prompt.prepare("abcde", tokenizer, Prompt("<s>{prompt}", ()), 5)


@pytest.mark.parametrize("text", ["", "   ", b"", "\n\t", "?!"])
def test_nothing_to_answer(tokenizer, text):
    with pytest.raises(
        EmptyPrompt, match="the prompt is empty: say what to answer, for example 'turn on the kitchen light'"
    ):
        prompt.prepare(text, tokenizer, Prompt("<s>{prompt}", RULES), 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ab\xff", "the prompt is not UTF-8 text: byte 0xff at offset 2; convert it to UTF-8 first"),
        (
            b"caf\xe9".decode("utf-8", "surrogateescape"),
            "the prompt is not UTF-8 text: byte 0xe9 at offset 3; convert it to UTF-8 first",
        ),
        (
            "a\ud800",
            r"the prompt is not UTF-8 text: lone surrogate U\+D800 at character 1; convert it to UTF-8 first",
        ),
    ],
)
def test_bytes_that_are_not_text(tokenizer, text, message):
    with pytest.raises(PromptNotText, match=message):
        prompt.prepare(text, tokenizer, Prompt("<s>{prompt}", ()), 64)


@pytest.mark.parametrize("policy", ["left", "middle"])
def test_a_long_prompt_keeps_its_template(tokenizer, policy):
    rules = Prompt("<s> {prompt}\t", ())
    text = "turn on the light in the kitchen please"
    whole = prompt.prepare(text, tokenizer, rules, 64)
    cut = prompt.prepare(text, tokenizer, rules, len(whole) - 1, policy, 10)
    assert len(cut) == len(whole) - 1 - 10 + 1
    assert (cut[0], cut[-1]) == (whole[0], whole[-1])
    assert set(cut) <= set(whole)


def test_a_prompt_that_fits_is_not_touched_by_a_policy(tokenizer):
    rules = Prompt("<s> {prompt}\t", ())
    whole = prompt.prepare("abc", tokenizer, rules, 64)
    assert prompt.prepare("abc", tokenizer, rules, len(whole), "left", 5) == whole


@given(st.lists(st.integers(0, 2), max_size=30), st.lists(st.integers(0, 2), max_size=30), st.integers(0, 30))
def test_the_common_beginning_is_that_of_a_walk_along_both(first, second, shared):
    first, second = first + second, [*first[:shared], *second]
    walked = 0
    while walked < min(len(first), len(second)) and first[walked] == second[walked]:
        walked += 1
    assert prompt.common_prefix(first, tuple(second)) == walked
