"""The host's choice: each rule by itself, together, and the same tokens on every back end."""

import math

import numpy as np
import pytest
from shapes import TINY

from edgellm.errors import ModelUnsupported
from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import GREEDY, Sampling, choose
from edgellm.runtime.backends.golden import GoldenStepper
from edgellm.runtime.backends.native import NativeDevice
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.choice import Chooser, Rules
from edgellm.runtime.device import Job
from edgellm.runtime.engine import Engine, Request

STEP = 2.0**-8
WARM = Sampling.of(5, 1.0)
LOGITS = np.array([100, 900, 300, 900, -500, 0], np.int16)


def chosen(rules, logits=LOGITS, tokens=(), how=GREEDY, constraint=None):
    (token,) = Chooser(rules, how, 4, STEP, constraint)(logits, list(tokens))
    return token


def draws(rules, how_many=400, logits=LOGITS, constraint=None):
    """Tokens that come at all, over many seeds."""
    return {
        chosen(rules, logits, how=Sampling.of(seed, 1.5), constraint=constraint) for seed in range(how_many)
    }


def test_without_rules_it_is_the_contracts_choice():
    assert chosen(Rules()) == 1
    for tokens in ([], [3], [3, 4, 5]):
        want = choose(LOGITS, WARM, 3 + len(tokens), 8)
        assert chosen(Rules(), tokens=tokens, how=WARM) == want
    assert not Rules().needed
    assert Rules(top_k=1).needed


def test_bias_in_nats():
    assert chosen(Rules(logit_bias={2: 600 / 256})) == 1  # equal: the lower index
    assert chosen(Rules(logit_bias={2: 601 / 256})) == 2
    assert chosen(Rules(logit_bias={1: -100.0})) == 3


def test_penalties_count_the_answers_tokens():
    assert chosen(Rules(presence_penalty=0.01), tokens=[1]) == 3
    assert chosen(Rules(frequency_penalty=0.01), tokens=[1, 3, 3]) == 1
    assert chosen(Rules(presence_penalty=3.0), tokens=[1, 3]) == 2


@pytest.mark.parametrize(
    ("rules", "want"),
    [
        (Rules(top_k=2), {1, 3}),
        (Rules(top_k=3), {1, 2, 3}),
        (Rules(top_p=0.5), {1, 3}),
        (Rules(top_p=0.1), {1}),
        (Rules(min_p=0.9), {1, 3}),
        (Rules(min_p=math.exp(-600 / 256 / 1.5) * 0.999), {1, 2, 3}),
        (Rules(top_k=3, min_p=0.9), {1, 3}),
        (Rules(logit_bias={1: -100.0, 3: -100.0}, top_k=1), {2}),
    ],
)
def test_cuts_of_the_distribution(rules, want):
    assert draws(rules) == want


def test_the_cuts_follow_the_temperature():
    cold, warm = Sampling.of(0, 0.1), Sampling.of(0, 15.0)
    flat = np.array([0, -100, -200, -300], np.int16)
    for how, count in ((cold, 1), (warm, 4)):
        kept = {chosen(Rules(top_p=0.95), flat, how=Sampling(seed, how.temperature)) for seed in range(300)}
        assert len(kept) == count


class Only:
    """A constraint that allows some tokens, and ends after two."""

    def __init__(self, *allowed):
        self._mask = np.isin(np.arange(len(LOGITS)), allowed)

    def allowed(self, tokens):
        return self._mask if len(tokens) < 2 else None

    def forced(self, tokens):
        return []


def test_a_constraint_comes_before_everything():
    assert chosen(Rules(), constraint=Only(0, 4)) == 0
    assert draws(Rules(top_k=2), constraint=Only(0, 4, 5)) == {0, 5}
    assert draws(Rules(logit_bias={1: 100.0}), constraint=Only(4)) == {4}


def test_a_constraint_ends_the_answer():
    chooser = Chooser(Rules(), GREEDY, 1, STEP, Only(0))
    assert chooser(LOGITS, [0]) == [0]
    assert chooser.ended is None
    assert chooser(LOGITS, [0, 0]) is None
    assert chooser.ended == "stop"


def test_low_confidence_ends_the_answer():
    chooser = Chooser(Rules(least_confidence=0.3), GREEDY, 1, STEP)
    assert chooser(LOGITS, []) == [1]
    assert chooser(np.zeros(6, np.int16), []) is None
    assert chooser.ended == "confidence"


def test_logprobs_are_of_the_models_own_distribution():
    chooser = Chooser(Rules(logprobs=2, logit_bias={0: 100.0}), WARM, 1, STEP)
    assert chooser(LOGITS, []) == [0]
    (info,) = chooser.seen
    real = LOGITS * STEP
    shares = real - np.log(np.exp(real).sum())
    assert info.token == 0
    assert info.logprob == pytest.approx(shares[0])
    assert info.top == ((1, pytest.approx(shares[1])), (3, pytest.approx(shares[3])))


def test_a_model_whose_steps_are_no_power_of_two():
    with pytest.raises(ModelUnsupported, match=r"the logit step 0\.3 is no power of two"):
        Chooser(Rules(), GREEDY, 1, 0.3)


def test_tokens_are_the_same_on_every_back_end():
    model, prompt = random_model(TINY, 1), [4, 9, 3]
    rules = Rules(top_k=9, top_p=0.9, min_p=0.02, logit_bias={7: 1.0, 8: -2.0}, presence_penalty=0.5)
    answers = []
    for device in (NativeDevice(model, 2), SteppedDevice(GoldenStepper(model, 2))):
        engine = Engine([lambda device=device: device])
        for seed in range(6):
            how = Sampling.of(seed, 2.0)
            chooser = Chooser(rules, how, len(prompt), model.logit_step)
            answer = engine.submit(Request(Job(prompt, 15), chooser))
            list(engine.tokens(answer))
            answers.append(answer.tokens)
    assert answers[:6] == answers[6:]
    assert len({tuple(tokens) for tokens in answers}) > 3
