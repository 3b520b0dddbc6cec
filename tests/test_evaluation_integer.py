"""The integer model under test: losses by hand, greedy answers, nothing generated that is known."""

import math

import numpy as np
import pytest
from evaluation_model import STEP, model, write_model

from edgellm.errors import ModelCorrupt
from edgellm.evaluation import examples as module
from edgellm.evaluation.examples import Example
from edgellm.evaluation.integer import IntegerReader, cross_entropy, logit_step
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime import scoring
from edgellm.runtime.backends import cpu, golden, native
from edgellm.runtime.engine import Engine

pytestmark = pytest.mark.cpu

EOS = 257
OPENERS = {"cpu": cpu.open_device, "golden": golden.open_device, "native": native.open_device}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "noise")


@pytest.fixture(scope="module")
def examples():
    """One that the model answers as expected, one with a wrong end, one wrong from the start."""
    right = GoldenModel(model()).generate([5, 9, 3], 6).tokens
    return [
        Example([7], [1, 2, 3], True),
        Example([5, 9, 3], right, False),
        Example([5, 9, 3], [*right[:4], right[4] ^ 1], False),
    ]


def readings(opener, folder, examples, step=STEP):
    reader = IntegerReader(Engine([lambda: opener(folder)]), {EOS}, step)
    return [reading for _, reading in sorted(reader.read(examples), key=index)]


def index(pair):
    return pair[0]


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_answers_are_the_greedy_ones_and_losses_those_of_the_logits(folder, examples, opener):
    judge = GoldenModel(model())
    got = readings(opener, folder, examples)
    assert got[1].answer == examples[1].expected
    for example, reading in zip(examples[::2], got[::2], strict=True):
        assert reading.answer == judge.generate(example.prompt, example.room, {EOS}).tokens
    for example, reading in zip(examples, got, strict=True):
        assert reading.nats == pytest.approx(by_hand(judge, example), rel=1e-12)


def by_hand(judge, example):
    cache, total = judge.new_cache(), 0.0
    for position, token in enumerate(example.fed):
        logits = judge.step(cache, token, position)
        place = position - len(example.prompt) + 1
        if place >= 0:
            real = [STEP * int(value) for value in logits]
            top = max(real)
            total += math.log(sum(math.exp(v - top) for v in real)) + top - real[example.expected[place]]
    return total


def test_a_known_answer_is_not_generated(folder, examples, monkeypatch):
    asked = []
    real = scoring.answers
    monkeypatch.setattr(
        scoring,
        "answers",
        lambda engine, prompts, *rest: asked.extend(prompts) or real(engine, prompts, *rest),
    )
    readings(golden.open_device, folder, examples)
    assert sorted(asked) == sorted([examples[0].prompt, examples[2].prompt])


def test_many_lines_in_several_groups(folder):
    """Wrong and right ones mixed, more than one batch of both."""
    judge, rng = GoldenModel(model()), np.random.default_rng(3)
    prompts = rng.integers(200, size=(50, 3)).tolist()
    said = [judge.generate(prompt, 40, {EOS}).tokens for prompt in prompts]
    right = [Example(prompt, tokens[:5], False) for prompt, tokens in zip(prompts, said, strict=True)]
    wrong = [Example(prompt, [tokens[0] ^ 1], False) for prompt, tokens in zip(prompts, said, strict=True)]
    mixed = [example for pair in zip(right, wrong, strict=True) for example in pair]
    got = readings(cpu.open_device, folder, mixed)
    assert [reading.answer for reading in got[::2]] == [tokens[:5] for tokens in said]
    assert [reading.answer[:40] for reading in got[1::2]] == said


def test_answers_are_cut_at_each_lines_own_room(folder, monkeypatch):
    monkeypatch.setattr(module, "LEAST_ROOM", 4)
    monkeypatch.setattr(module, "SPARE", 1)
    lines = [Example([9], [1], False), Example([9, 9], [1] * 10, False)]
    assert [len(reading.answer) for reading in readings(cpu.open_device, folder, lines)] == [4, 11]


def test_notes_say_what_is_missing(folder):
    engine = Engine([lambda: cpu.open_device(folder)])
    assert IntegerReader(engine, (), STEP).notes == []
    assert IntegerReader(engine, (), None).notes == [
        "no loss: model.onnx does not store its logit step; export the model again"
    ]


def test_without_a_step_there_is_no_loss(folder, examples):
    assert [reading.nats for reading in readings(cpu.open_device, folder, examples, None)] == [None] * 3


def test_the_step_comes_from_the_integer_file(folder, tmp_path):
    assert logit_step(folder) == STEP
    assert logit_step(write_model(tmp_path / "old", None)) is None


@pytest.mark.parametrize("text", ["", "much", "0", "-1", "nan", "inf"])
def test_a_damaged_step(tmp_path, text):
    broken = write_model(tmp_path / "broken", text)
    with pytest.raises(ModelCorrupt) as caught:
        logit_step(broken)
    assert str(caught.value) == (
        f"metadata edgellm.logit_step is {text!r}, not a positive number: export the model again"
    )


def test_cross_entropy():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])) + 900.0
    assert cross_entropy(logits, [1, 2]) == pytest.approx(-math.log(0.25) - math.log(0.8))
