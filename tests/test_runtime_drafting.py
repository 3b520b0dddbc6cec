"""Guessed tokens: what the table says, and that no guess changes a token."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import TINY

from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.backends.golden import GoldenStepper
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.device import Job
from edgellm.runtime.drafting import Guesser, Lookup
from edgellm.runtime.engine import Engine, Request

MODEL = random_model(TINY, 1)


class Verifying(GoldenStepper):
    """Feeds several tokens in a call, and counts the calls and tokens."""

    def __init__(self, slots=3):
        super().__init__(MODEL, slots)
        self.steps = self.verified = self.calls = 0

    def step(self, feeds):
        self.steps += 1
        super().step(feeds)

    def verify(self, slot, tokens, position):
        self.calls += 1
        self.verified += len(tokens)
        assert position + len(tokens) <= self.arch.context
        rows = [self._model.step(self._caches[slot], token, position + n) for n, token in enumerate(tokens)]
        return np.stack(rows)


@pytest.fixture(scope="module")
def judge():
    return GoldenModel(MODEL)


def speculating(slots=3):
    stepper = Verifying(slots)
    return stepper, Engine([lambda: SteppedDevice(stepper, stepper.verify)])


def test_what_followed_the_same_tokens_comes_again():
    lookup = Lookup([1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 2, 3])
    assert lookup.draft(3) == [7, 8, 2]  # the last time, not the first
    assert lookup.draft(2) == [7, 8]
    lookup.append(4)
    assert lookup.draft(2) == [5, 9]  # three tokens agree
    lookup.append(1)
    assert lookup.draft(4) == []
    assert Lookup([]).draft(4) == Lookup([1, 2, 1]).draft(4) == []


def test_a_circle_goes_on():
    assert Lookup([6, 1, 2, 1, 2]).draft(5) == [1, 2, 1, 2, 1]
    assert Lookup([3, 3, 3]).draft(4) == [3, 3, 3, 3]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 9))
def test_a_draft_is_what_followed_before(tokens, most):
    """Against a search through all places, from the last one on."""
    want = []
    for length in (2, 3):
        for at in range(length, len(tokens)):
            if len(tokens) >= length and tokens[at - length : at] == tokens[-length:]:
                want = (tokens[at : at + most] * most)[:most]
    assert Lookup(tokens).draft(most) == want


def answer(engine, job):
    found = engine.submit(Request(job))
    list(engine.tokens(found))
    return found.tokens, found.finish_reason


def test_guesses_change_no_token(judge):
    """Prompts that repeat themselves, greedy and drawn, with every end; the golden model decides."""
    stepper, engine = speculating()
    rng, seen = random.Random(2), set()
    for number in range(150):
        motif = [rng.randrange(4) for _ in range(rng.randrange(1, 4))]
        prompt = (motif * 9)[: rng.randrange(3, 18)]
        stop = frozenset(rng.sample(range(TINY.vocab), 3))
        how = Sampling.of(number, rng.choice([0.0, 0.5, 2.0]))
        job = Job(prompt, rng.randrange(1, 22), stop, how)
        done = judge.generate(job.prompt, job.max_tokens, job.stop_ids, job.sampling)
        assert answer(engine, job) == (done.tokens, done.finish_reason)
        seen.add(done.finish_reason)
    assert seen == {"stop", "length", "context"}
    assert stepper.calls > 30
    assert engine.cached > 0


class Loop(GoldenStepper):
    """Answers 5, 6, 7, 5, 6, 7, ... whatever is asked."""

    def __init__(self):
        super().__init__(MODEL, 2)
        self.calls = 0

    def _row(self, token):
        row = np.zeros(self.arch.vocab, np.int16)
        row[{5: 6, 6: 7}.get(token, 5)] = 9
        return row

    def step(self, feeds):
        self.calls += 1
        for slot, tokens, _ in feeds:
            self._logits[slot] = self._row(tokens[-1])

    def verify(self, slot, tokens, position):
        self.calls += 1
        return np.stack([self._row(token) for token in tokens])


@pytest.mark.parametrize("speculate", [True, False])
def test_a_repetitive_answer_takes_fewer_calls(speculate):
    stepper = Loop()
    engine = Engine([lambda: SteppedDevice(stepper, stepper.verify)])
    tokens, reason = answer(engine, Job([1, 5, 6, 7, 5, 6], 18, speculate=speculate))
    assert (tokens, reason) == ([7, 5, 6] * 6, "length")
    # the first guess, with the prompt's last token, is only looked at; then 9 tokens a call
    assert stepper.calls == 5 + (1 + 2 if speculate else 18)


def test_a_cached_prompt_is_known_to_who_guesses():
    stepper = Loop()
    engine = Engine([lambda: SteppedDevice(stepper, stepper.verify)])
    job = Job([1, *range(20, 31), 7, 5, 6, 7, 5, 6], 6)
    answer(engine, job)
    stepper.calls = 0
    assert answer(engine, job)[0] == [7, 5, 6] * 2
    assert stepper.calls == 2  # 5 where only the prompt's last token is known


def test_guesses_stop_where_they_do_not_pay():
    """Pairs that are followed by something else each time."""
    guesser, most = Guesser([1, 2, 3]), []
    for token in (1, 2, 4, 1, 2, 5, 1, 2, 6):
        most.append(len(guesser.guess(8)))
        guesser.came([token], most[-1])
    assert most == [0] * 9  # looked at, and wrong
    pays = Guesser([1, 2, 3, 1, 2])
    assert pays.guess(8) == []
    pays.came([3])
    assert pays.guess(8) == [1, 2, 3, 1, 2, 3, 1, 2]
    pays.came([9], 8)  # all wrong: not again at once
    for token in (1, 2):
        assert pays.guess(8) == []
        pays.came([token])
    assert pays.guess(8) == []
    assert pays.guess(0) == []


def test_slots_side_by_side_are_not_guessed(judge):
    stepper, engine = speculating()
    jobs = [Job([1, 2, 1, 2, 1, 2, n], 9) for n in (3, 4, 5)]
    answers = [engine.submit(Request(job)) for job in jobs]
    for found, job in zip(answers, jobs, strict=True):
        list(engine.tokens(found))
        assert found.tokens == judge.generate(job.prompt, job.max_tokens, ()).tokens
    assert stepper.calls == 0


def test_the_host_that_chooses_sees_every_logit():
    stepper, engine = speculating()
    found = engine.submit(Request(Job([1, 2, 1, 2], 6), lambda logits, tokens: 1 + len(tokens) % 2))
    list(engine.tokens(found))
    assert found.tokens == [1, 2, 1, 2, 1, 2]
    assert stepper.calls == 0


@pytest.mark.cpu
def test_onnx_runtime_verifies_guesses_in_one_call(monkeypatch):
    """home-260k far behind its answers, where it goes in circles; with and without guesses, and as the C kernels have it."""
    from edgellm import catalog
    from edgellm.runtime import registry
    from edgellm.runtime.backends.ort import OrtStepper

    calls, verify = [], OrtStepper.verify

    def counted(self, slot, tokens, position):
        rows = verify(self, slot, tokens, position)
        calls.append((len(tokens), rows is not None))
        return rows

    monkeypatch.setattr(OrtStepper, "verify", counted)
    found = {}
    for name in ("cpu", "native"):
        device = registry.get(name).open(catalog.find("home-260k"))
        engine = Engine([lambda device=device: device])
        jobs = [
            Job([7, *range(30 + n, 60 + n)], 150, speculate=speculate, sampling=Sampling.of(n, n / 4))
            for n in range(3)
            for speculate in (True, False)
        ]
        found[name] = [answer(engine, job) for job in jobs]
        engine.close()
    assert found["cpu"] == found["native"]
    assert found["cpu"][::2] == found["cpu"][1::2]
    assert any(made and 2 < count < 10 for count, made in calls)  # prompts are longer
