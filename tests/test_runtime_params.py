"""What may be asked of an answer."""

import pytest

from edgellm.errors import UsageError
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.choice import Rules
from edgellm.runtime.params import Params


def test_defaults_need_nothing_of_the_host():
    params = Params.of({})
    assert not params.rules().needed
    assert params.sampling() == Sampling()
    assert Params.of({"stop": "x"}).stop == Params.of({"stop": ["x"]}).stop == ("x",)


def test_cuts_change_nothing_without_temperature():
    assert not Params(top_k=3, top_p=0.5, min_p=0.1).rules().needed
    assert Params(top_k=3, top_p=0.5, min_p=0.1, temperature=0.5).rules() == Rules(3, 0.5, 0.1)
    assert Params(logit_bias={1: 2.0}).rules().needed
    assert Params(logprobs=0).rules().needed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"stop": ["a", ""]}, "a stop string must not be empty"),
        ({"temperature": -0.5}, "temperature is -0.5: must be 0 to below 16"),
        ({"temperature": float("nan")}, "temperature is nan: must be 0 to below 16"),
        ({"seed": -1}, r"seed -1 must be 0 to 2\^64 - 1"),
        ({"top_k": -1}, r"top_k is -1: must be 0 \(all\) or more"),
        ({"top_p": 0}, "top_p is 0: must be above 0, to 1"),
        ({"top_p": 1.5}, "top_p is 1.5: must be above 0, to 1"),
        ({"min_p": 2}, "min_p is 2: must be 0 to 1"),
        ({"presence_penalty": 99}, "presence_penalty is 99: must be -32 to 32 nats"),
        ({"frequency_penalty": float("inf")}, "frequency_penalty is inf: must be -32 to 32 nats"),
        ({"logit_bias": {7: 101}}, "logit_bias of token 7 is 101: must be -100 to 100 nats"),
        ({"logprobs": 21}, "logprobs is 21: must be 0 to 20"),
        ({"least_confidence": -1}, "least_confidence is -1: must be 0 to 1"),
        ({"repeats": 1}, r"repeats is 1: must be 0 \(never\) or at least 2"),
        ({"truncate": "right"}, "truncate is 'right': must be one of error, left, middle"),
        ({"deadline": 0}, "deadline is 0 seconds: must be more than 0"),
        ({"best_of": 2}, "there is no option 'best_of': options are max_tokens, stop, "),
    ],
)
def test_what_cannot_be_meant(options, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        Params.of(options)
