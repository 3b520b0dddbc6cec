"""Orders, portions and errors survive the way through JSON."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm import errors
from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.params import NAMES, Params
from edgellm.serve.orders import End, Order, Portion
from edgellm.serve.workers import wire
from edgellm.serve.workers.channel import OPTIONS

EVERY = {
    "max_tokens": 7,
    "stop": ("a", "ü\n"),
    "temperature": 0.7,
    "seed": 2**64 - 1,
    "top_k": 4,
    "top_p": 0.9,
    "min_p": 0.1,
    "logit_bias": {3: -1.5, 511: 100.0},
    "presence_penalty": 0.25,
    "frequency_penalty": -1.0,
    "logprobs": 0,
    "least_confidence": 0.125,
    "repeats": 3,
    "json_schema": {"type": "object", "properties": {"a": {"enum": [1, 2.5, None]}}},
    "grammar": 'start: "a"',
    "regex": "[ab]+",
    "choices": ("yes", "no"),
    "truncate": "left",
    "speculate": False,
    "deadline": 2.5,
    "priority": -3,
}
FORMS = ("json_schema", "grammar", "regex", "choices")


def through(message):
    return orjson.loads(orjson.dumps(message, option=OPTIONS))


def carried(order):
    number, found = wire.order_of(through(wire.order_message(12, order)))
    assert number == 12
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_option(form):
    assert EVERY.keys() == set(NAMES)  # a new one is to be added here
    options = {name: value for name, value in EVERY.items() if name == form or name not in FORMS}
    params = Params(**options)
    found = carried(Order((1, 2), params)).params
    for name in options:
        if name != "json_schema":
            assert getattr(found, name) == getattr(params, name), name
    assert (found.form(), found.rules(), found.sampling()) == (
        params.form(),
        params.rules(),
        params.sampling(),
    )


def test_a_schema_as_text():
    params = Params(json_schema='{"type": "integer"}')
    assert carried(Order((1,), params)).params == params


def test_options_that_are_as_always_are_not_sent():
    assert wire.order_message(1, Order((1,), Params(max_tokens=3)))[3] == {"max_tokens": 3}


@given(
    st.lists(st.integers(0, 511), min_size=1),
    st.lists(st.integers(0, 511)),
    st.floats(0, 1e9),
    st.none() | st.floats(0, 9),
)
def test_an_order(prompt, tokens, arrived, deadline):
    order = Order(tuple(prompt), Params(), arrived=arrived, tokens=tuple(tokens), deadline=deadline)
    assert carried(order) == order


def posted(*messages):
    """What a mail box was told."""
    seen = []

    class Box:
        def put(self, tokens, infos=()):
            seen.append(("put", list(tokens), list(infos)))

        def finish(self, end):
            seen.append(end)

        def fail(self, error):
            seen.append(error)

    for message in messages:
        wire.deliver(through(message), Box())
    return seen


@given(
    st.lists(
        st.tuples(
            st.integers(0, 511),
            st.floats(-90, 0),
            st.lists(st.tuples(st.integers(0, 511), st.floats(-90, 0))),
        ),
        min_size=1,
    )
)
def test_tokens_with_infos(given_infos):
    infos = [TokenInfo(token, logprob, tuple(top)) for token, logprob, top in given_infos]
    tokens = [info.token for info in infos]
    assert posted(*wire.portion_messages(4, Portion(tokens, infos))) == [("put", tokens, infos)]


def test_portions():
    end = End("stop", "native", 16, counters={"cycles": 12.0, "cycles_per_token": math.pi})
    assert posted(*wire.portion_messages(4, Portion([5, 6], (), end))) == [("put", [5, 6], []), end]
    assert posted(*wire.portion_messages(4, Portion((), end=end))) == [end]
    assert wire.portion_messages(4, Portion(())) == []


@pytest.mark.parametrize(
    "kind", [errors.UsageError, errors.BackendFailed, errors.PromptTooLong, errors.ToolMissing]
)
def test_errors(kind):
    (found,) = posted([wire.ERROR, 1, *wire.told_error(kind("a reason"))])
    assert (type(found), str(found)) == (kind, "a reason")


@pytest.mark.parametrize("error", [ValueError("odd"), errors.PromptRefused("deny", "why")])
def test_errors_that_cannot_be_made_again_are_the_service_s(error):
    (found,) = posted([wire.ERROR, 1, *wire.told_error(error)])
    assert (type(found), str(found)) == (errors.ServiceError, f"{type(error).__name__}: {error}")


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="kind 'odd'"):
        posted(["odd", 1])
