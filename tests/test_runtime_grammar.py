"""Constrained output: forms that hold whatever the model wants, the same tokens on every back end, and what is refused."""

import asyncio
import contextlib
import json
import re
import sys

import evaluation_model
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgellm
from edgellm import resources
from edgellm.errors import ToolMissing, UsageError
from edgellm.runtime.grammar import Form

pytestmark = pytest.mark.grammar

SCHEMA = {
    "type": "object",
    "properties": {
        "area": {"enum": ["kitchen", "den"]},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["area", "n"],
    "additionalProperties": False,
}
FORMS = [
    {"json_schema": SCHEMA},
    {"json_schema": json.dumps(SCHEMA), "temperature": 2.0, "seed": 3},
    {"choices": ["lamp on", "lamp off", "löck"], "temperature": 3.0, "seed": 1},
    {"regex": "[a-f]{3,12}(x|yz)", "temperature": 1.5, "seed": 7, "top_k": 9},
    {"grammar": 'start: "a" rest\nrest: "b" | "c" rest "d"', "temperature": 4.0, "seed": 5},
    {"grammar": 'root ::= "yes" | "no" [a-z]+', "max_tokens": 5},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return evaluation_model.write_model(tmp_path_factory.mktemp("grammar") / "noise")


@pytest.fixture(scope="module")
def noise(folder):
    with edgellm.load(folder, "native") as llm:
        yield llm


@pytest.fixture(scope="module")
def home():
    with edgellm.load(resources.models() / "home-260k", "native") as llm:
        yield llm


@pytest.mark.parametrize("backend", ["golden", "cpu"])
@pytest.mark.parametrize("options", FORMS)
def test_the_same_tokens_on_every_back_end(folder, noise, backend, options):
    want = noise.generate("x", **options)
    with edgellm.load(folder, backend) as llm:
        got = llm.generate("x", **options)
    assert (got.tokens, got.text, got.finish_reason) == (want.tokens, want.text, want.finish_reason)


@pytest.mark.parametrize("options", FORMS)
def test_tokens_that_are_forced_are_those_that_logits_would_choose(noise, options):
    """With `logprobs` every token is chosen among its logits."""
    fast, slow = noise.generate("x", **options), noise.generate("x", logprobs=0, **options)
    assert (fast.tokens, fast.text, fast.finish_reason) == (slow.tokens, slow.text, slow.finish_reason)
    assert [info.token for info in slow.logprobs] == slow.tokens


def leaves():
    small = st.integers(-30, 30)
    return st.one_of(
        st.just({"type": "null"}),
        st.just({"type": "boolean"}),
        st.tuples(small, st.integers(0, 9)).map(
            lambda t: {"type": "integer", "minimum": t[0], "maximum": t[0] + t[1]}
        ),
        st.integers(0, 5).map(lambda n: {"type": "string", "minLength": n // 2, "maxLength": n}),
        st.just({"type": "string", "pattern": "^[a-c]{1,4}$"}),
        st.lists(st.one_of(small, st.text(max_size=4), st.booleans()), min_size=1, max_size=4).map(
            lambda values: {"enum": values}
        ),
    )


def containers(inner):
    names = st.dictionaries(st.text('abñ"\\', max_size=3), inner, max_size=3)
    arrays = st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
        lambda t: {"type": "array", "items": t[0], "minItems": t[1], "maxItems": t[1] + t[2]}
    )
    objects = st.tuples(names, st.integers(0, 3)).map(
        lambda t: {
            "type": "object",
            "properties": t[0],
            "required": list(t[0])[: t[1]],
            "additionalProperties": False,
        }
    )
    return st.one_of(
        arrays, objects, st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some})
    )


ENDED: list[str] = []


@settings(max_examples=120)
@given(
    st.recursive(leaves(), containers, max_leaves=6), st.integers(0, 1 << 32), st.sampled_from([0, 0.7, 3.0])
)
def test_json_is_valid_whatever_the_schema_and_the_seed(home, schema, seed, temperature):
    done = home.generate("turn on the light", json_schema=schema, seed=seed, temperature=temperature)
    ENDED.append(done.finish_reason)
    assert done.finish_reason in ("stop", "context")
    if done.finish_reason == "stop":
        jsonschema.validate(json.loads(done.text), schema)


def test_most_of_them_came_to_their_end():
    assert ENDED.count("stop") > 0.8 * len(ENDED) > 50


@pytest.mark.parametrize("seed", range(12))
def test_texts_and_expressions_hold(home, noise, seed):
    for llm in (home, noise):
        how = {"seed": seed, "temperature": 2.5}
        names = ["kitchen", "kitchenette", "x", "den\t", "ünder 😀", 'a "b" \\']
        assert llm.generate("x", choices=names, **how).text in names
        expression = r"(on|off) [0-9]{1,3}( %|°)?"
        assert re.fullmatch(expression, llm.generate("x", regex=expression, **how).text)


def test_a_form_may_be_spelt_in_the_models_own_tokens(home):
    """An intent is one token of the vocabulary, though `HassTurnO` would be certain letter by letter."""
    done = home.generate("turn on the kitchen light", regex="HassTurn(On|Off) area= (kitchen|den)\t.*")
    assert done.text == "HassTurnOn area= kitchen\tTurned on the light"
    assert done.tokens[0] == home.tokenizer.token_id("HassTurnOn")


def test_control_tokens_are_no_text(home):
    control = set(home.tokenizer.control_ids)
    assert control == {0, 1, 2}
    for seed in range(20):
        done = home.generate("x", regex="[^a]{1,20}", seed=seed, temperature=8.0)
        assert not control & set(done.tokens)


def test_the_end_comes_when_the_form_allows_it_and_not_before(noise):
    for seed in range(30):
        assert noise.generate("x", choices=["a", "ab"], seed=seed, temperature=9.0).text in ("a", "ab")
    assert (
        noise.generate("x", regex="a*", logit_bias={noise.tokenizer.token_id("a"): 100}).finish_reason
        == "context"
    )
    assert noise.generate("x", regex="a{20}", max_tokens=7).text == "a" * 7
    assert noise.generate("x", regex="a{20}", max_tokens=7).finish_reason == "length"
    assert noise.generate("x", regex="a{100}").finish_reason == "context"
    assert noise.generate("x", regex="a{20}", max_tokens=20).finish_reason == "length"
    assert noise.generate("x", regex="a{20}", max_tokens=21).finish_reason == "stop"
    assert noise.generate("x", regex="abcdef", stop="cd").text == "ab"


def test_streams_and_asyncio(home):
    want = home.generate("x", json_schema=SCHEMA)
    chunks = list(stream := home.stream("x", json_schema=SCHEMA))
    assert "".join(chunk.text for chunk in chunks) == stream.completion.text == want.text
    assert stream.completion.tokens == want.tokens

    async def main():
        return await asyncio.gather(*(home.agenerate("x", json_schema=SCHEMA) for _ in range(5)))

    assert [done.tokens for done in asyncio.run(main())] == [want.tokens] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"json_schema": {"type": "text"}}, "^json_schema cannot be followed: .*Invalid type: text$"),
        ({"json_schema": "{"}, "^json_schema is no JSON: Expecting property name"),
        ({"json_schema": {"a": {1, 2}}}, "^json_schema is no JSON: Object of type set"),
        ({"json_schema": [1]}, r"^json_schema is \[1\]: must be a JSON object$"),
        ({"json_schema": {"$ref": "#"}}, "^json_schema cannot be followed: no text has this form$"),
        ({"json_schema": {"not": {}}}, r'^json_schema cannot be followed: .*Unimplemented keys: \["not"\]$'),
        ({"json_schema": {"$ref": "http://example.org/x"}}, "^json_schema cannot be followed: .*not present"),
        ({"regex": "(a"}, "^regex cannot be followed: .*unclosed group$"),
        ({"regex": ""}, "^regex is '': must be a text that is not empty$"),
        ({"grammar": "start: foo"}, '^grammar cannot be followed: at 1.8.: unknown name: "foo"'),
        ({"grammar": "root ::= ("}, "^grammar cannot be followed: Expected '\\)'"),
        ({"choices": ["a", ""]}, "^choices has '': must be texts that are not empty$"),
        ({"choices": "abc"}, "^choices is 'abc': must be a list of texts$"),
        ({"regex": "a", "choices": ["b"]}, "^regex and choices are given: an answer has one form"),
        ({"regex": "a" * 70000}, "^regex has 70000 characters: must be at most 65536$"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_runs(noise, options, message):
    with pytest.raises(UsageError, match=re.compile(message, re.DOTALL)):
        noise.stream("x", **options)
    assert (noise.engine.queued, noise.engine.busy) == (0, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"json_schema": '{"type":"array","items":' * 900 + "{}" + "}" * 900},
        {"json_schema": json.dumps({"enum": [str(n) * 3 for n in range(5000)] * 2})},
        {
            "json_schema": {
                "allOf": [{"anyOf": [{"required": [f"{i} {j}"]} for j in range(9)]} for i in range(9)]
            }
        },
        {"regex": "(" * 30000 + ")" * 30000},
        {"grammar": "start: " + "(" * 30000 + '"a"' + ")" * 30000},
        {"regex": "(.*a.{200}b.*c.{200}|.*d.{300})", "temperature": 9.0},
        {"grammar": 'start: start start start | "a" | ""'},
    ],
)
def test_hostile_forms_end_in_an_answer_or_an_error(noise, options):
    """Neither the process nor the engine suffers."""
    with contextlib.suppress(UsageError):
        assert noise.generate("x", **options).finish_reason in ("stop", "context")
    assert noise.generate("x", choices=["ok"]).text == "ok"


def test_a_form_that_becomes_too_complex_ends_its_answer_alone(noise, monkeypatch):
    monkeypatch.setitem(edgellm.runtime.grammar.LIMITS, "max_lexer_states", 40)
    strict = edgellm.runtime.grammar.Grammars(noise.tokenizer, 259, noise.stop_ids)
    monkeypatch.setattr(noise, "_grammars", strict)
    with pytest.raises(UsageError, match=r"^regex cannot be followed: lexer error: too many states"):
        noise.generate("x", regex="(.*a.{90}b.*c.{90}|.*d.{90})", temperature=9.0)
    assert noise.engine.busy == 0


def test_without_the_library_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    message = "^json_schema, grammar, regex and choices need llguidance: pip install 'edgellm\\[grammar\\]'$"
    with edgellm.load(folder, "native") as llm:
        with pytest.raises(ToolMissing, match=message):
            llm.generate("x", choices=["a"])
        assert llm.generate("x", max_tokens=2).finish_reason == "length"


def test_a_constraint_goes_back_when_a_device_broke_down_before_it_took_the_tokens(noise):
    a, b, c, d = (noise.tokenizer.token_id(letter) for letter in "abcd")
    constraint = noise.grammars().start(Form("regex", "ab(c|d)"))
    assert constraint.forced([a]) == [b]
    for _ in range(2):
        assert constraint.allowed([]).nonzero()[0].tolist() == [a]
        assert constraint.allowed([a, b]).nonzero()[0].tolist() == sorted([c, d])
    assert constraint.allowed([a, b, c]) is None
    assert constraint.forced([a, b, c]) == sorted(noise.stop_ids)
