"""Keys of answers: equal where the golden model must answer the same, different where it does not."""

import json

import pytest
from caching import golden_llm, order
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.errors import UsageError
from edgellm.runtime import params
from edgellm.runtime.params import Params
from edgellm.serve.cache import keys
from edgellm.serve.cache.keys import Keys, canonical


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    with golden_llm(tmp_path_factory.mktemp("keys") / "toy") as made:
        yield made


OPTIONS = {
    "max_tokens": st.integers(1, 12),
    "temperature": st.sampled_from([0.0, 0.00001, 0.5, 0.50001, 1, 1.0]),
    "seed": st.integers(0, 2),
    "top_k": st.sampled_from([0, 1, 3]),
    "top_p": st.sampled_from([1, 1.0, 0.5]),
    "min_p": st.sampled_from([0, 0.3]),
    "logit_bias": st.dictionaries(st.integers(0, 40), st.sampled_from([-5.0, 0, 4, 4.0]), max_size=2),
    "presence_penalty": st.sampled_from([0, -0.0, 1]),
    "frequency_penalty": st.sampled_from([0, 1.5]),
    "logprobs": st.sampled_from([None, 0, 2]),
    "least_confidence": st.sampled_from([0, 0.2]),
    "stop": st.lists(st.sampled_from(["a", "b", "!"]), max_size=3),
    "repeats": st.sampled_from([0, 2]),
    "truncate": st.sampled_from(["error", "left"]),
    "speculate": st.booleans(),
    "deadline": st.sampled_from([None, 5.0, 9.0]),
    "priority": st.integers(0, 1),
}


@st.composite
def pairs(draw):
    """Options, and others that differ in a few of them."""
    first = draw(st.fixed_dictionaries({}, optional=OPTIONS))
    names = draw(st.sets(st.sampled_from(list(OPTIONS)), max_size=3))
    return first, {**first, **{name: draw(OPTIONS[name]) for name in names}}


def test_every_field_of_params_is_in_one_class():
    classes = (keys.DRAWN, keys.DECIDE, keys.SHOWN, keys.READ, keys.LENGTH, keys.APART)
    assert sorted(name for names in classes for name in names) == sorted(params.NAMES)


@settings(max_examples=150)
@given(pairs())
def test_orders_with_one_key_are_answered_alike(llm, pair):
    """Of the longest answers; how shorter ones are cut from them is `Kept.cut`'s."""
    first, second = (Params.of({**options, "max_tokens": 12}) for options in pair)
    if canonical(first) == canonical(second):
        answers = [_answer(llm, options) for options in pair]
        assert answers[0] == answers[1]


def _answer(llm, options):
    """Of the prompt "ab", as far as it does not tell how it was made."""
    options = {**options, "max_tokens": 12}
    try:
        made = llm.generate("ab", **options)
    except UsageError as error:
        return str(error)
    return made.tokens, made.text, made.finish_reason, made.logprobs


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"seed": 3}, {}),
        ({"top_k": 5, "top_p": 0.5, "min_p": 0.1, "seed": 9}, {}),
        ({"temperature": 0.00001, "seed": 3, "top_k": 2}, {}),
        ({"temperature": 0.5, "seed": 1}, {"temperature": 0.50001, "seed": 1}),
        ({"top_p": 1, "temperature": 1}, {"top_p": 1.0, "temperature": 1.0}),
        ({"presence_penalty": -0.0}, {"presence_penalty": 0}),
        ({"logit_bias": {3: 1, 4: 2}}, {"logit_bias": {4: 2.0, 3: 1.0}}),
        ({"stop": ["a", "b"]}, {"stop": ["b", "a", "a"]}),
        ({"stop": "a"}, {"stop": ["a"]}),
        ({"json_schema": '{"type":"string"}'}, {"json_schema": {"type": "string"}}),
        (
            {"deadline": 3, "priority": 4, "speculate": False, "truncate": "left", "max_tokens": 3},
            {"max_tokens": 9},
        ),
    ],
)
def test_what_means_the_same_has_one_key(first, second):
    params._checked.cache_clear()  # which takes 1 for 1.0
    one = json.dumps(canonical(Params.of(first)))
    params._checked.cache_clear()
    assert one == json.dumps(canonical(Params.of(second)))


DIFFERENT = {
    "temperature": 0.7,
    "logit_bias": {3: 1.0},
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "least_confidence": 0.1,
    "json_schema": {},
    "grammar": 'start: "a"',
    "regex": "a",
    "choices": ["a"],
    "logprobs": 0,
    "stop": "a",
    "repeats": 3,
}
DRAWN = {"seed": 5, "top_k": 3, "top_p": 0.9, "min_p": 0.1}


def test_the_examples_below_have_every_field():
    assert set(DIFFERENT) == {*keys.DECIDE, *keys.SHOWN, *keys.READ}
    assert set(DRAWN) == set(keys.DRAWN)


def test_what_decides_is_in_the_key():
    made = [Params.of({name: value}) for name, value in DIFFERENT.items()]
    made += [Params.of({"temperature": 0.7, name: value}) for name, value in DRAWN.items()]
    made += [Params(), Params(logprobs=1), Params(stop=("a", "b"))]
    found = {json.dumps(canonical(one)) for one in made}
    assert len(found) == len(made)


def test_keys_are_of_model_contract_prompt_and_params(llm, monkeypatch):
    def key(digest="d", *prompt, **options):
        return Keys(llm, digest).of(order(*prompt, **options))

    base = key("d", 1, 2)
    assert len(base) == 32
    assert base == key("d", 1, 2, max_tokens=7)
    different = [key("e", 1, 2), key("d", 2, 1), key("d", 1, 2, 3), key("d", 12), key("d", 1, 2, repeats=2)]
    monkeypatch.setattr(llm, "stop_ids", frozenset({1}))
    different.append(key("d", 1, 2))
    monkeypatch.undo()
    monkeypatch.setattr(llm, "manifest", type("M", (), {"numerics_version": 2}))
    different.append(key("d", 1, 2))
    assert len({base, *different}) == 8


def test_tokens_and_texts_of_any_kind_have_keys(llm):
    """What is wrong with them is the engine's to say."""
    assert Keys(llm, "d").of(order(-1, 1 << 80)) != Keys(llm, "d").of(order(-1, 1 << 81))
    assert Keys(llm, "d").of(order(1, stop="\ud800")) != Keys(llm, "d").of(order(1, stop="\ud801"))
