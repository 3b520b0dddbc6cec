"""Torch models under test: losses, greedy answers, and the same measure for all three models of a run."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from evaluation_model import case_set
from shapes import TINY

from edgellm.data.tokenizer import END_ID
from edgellm.evaluation.examples import Example
from edgellm.evaluation.sets import Case
from edgellm.train import evaluate
from edgellm.train.evaluate import TorchReader, greedy
from edgellm.train.model import Decoder

pytestmark = pytest.mark.train
torch.set_num_threads(1)


class Scripted:
    """Says token `last + 1` until 20, then ends. `seen` are the shapes it was asked with."""

    def __init__(self, context=1000):
        self.arch, self.seen = dataclasses.replace(TINY, context=context), []

    def step(self, ids, caches):
        self.seen.append(tuple(ids.shape))
        following = torch.where(ids < 20, ids + 1, END_ID)
        return 9 * F.one_hot(following, 40).float(), caches


class Endless(Scripted):
    def step(self, ids, caches):
        return F.one_hot(torch.full_like(ids, 7), 40).float(), caches


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Decoder(TINY).eval()


def test_greedy_answers_each_prompt_in_its_place_and_stops_at_the_end():
    assert greedy(Scripted(), [[1, 15], [18], [3, 17]], 64) == [
        [16, 17, 18, 19, 20],
        [19, 20],
        [18, 19, 20],
    ]


def test_greedy_stops_by_itself():
    assert greedy(Endless(), [[1]], 64) == [[7] * 64]
    assert greedy(Endless(context=10), [[1] * 4, [1]], 64) == [[7] * 7, [7] * 10]


def test_greedy_batches_answer_like_single_prompts(model):
    prompts = [[1, 2, 3], [4, 5, 6], [7], [3, 2, 1]]
    assert greedy(model, prompts, 64) == [greedy(model, [prompt], 64)[0] for prompt in prompts]


def readings(model, examples):
    return [reading for _, reading in sorted(TorchReader(model).read(examples), key=lambda pair: pair[0])]


def test_losses_are_those_of_the_answer_alone(model):
    examples = [Example([1, 2, 3], [4, 5], True), Example([7], [8, 9, 10, 2], True), Example([3], [4], False)]
    for example, reading in zip(examples, readings(model, examples), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([example.prompt + example.expected]))[0].double().log_softmax(-1)
        first = len(example.prompt) - 1
        wanted = -sum(logits[first + i, token] for i, token in enumerate(example.expected))
        assert reading.nats == pytest.approx(float(wanted), rel=1e-5)


def test_answers_are_the_greedy_ones_wherever_they_go_wrong(model):
    said = greedy(model, [[5, 6]], 8)[0]
    examples = [
        Example([5, 6], said, False),
        Example([5, 6], [*said[:3], said[3] ^ 1, *said[4:]], False),
        Example([5, 6], [said[0] ^ 1], True),
    ]
    assert [reading.answer[:8] for reading in readings(model, examples)] == [said] * 3


def test_only_wrong_lines_are_generated():
    model = Scripted()
    right, wrong = Example([15], [16, 17, 18, 19, 20, END_ID], True), Example([18], [19, 19, END_ID], True)
    assert [reading.answer for reading in readings(model, [right, wrong])] == [
        [16, 17, 18, 19, 20],
        [19, 20],
    ]
    assert model.seen == [(2, 6), (1, 1), (1, 1), (1, 1)]  # one pass, then one line token by token


def test_passes_hold_lines_of_similar_length_and_are_bounded(monkeypatch):
    monkeypatch.setattr(evaluate, "BATCH_TOKENS", 12)
    model = Scripted()
    examples = [Example([1] * n, [2], True) for n in (6, 2, 30, 3, 2, 3)]
    assert len(readings(model, examples)) == 6
    assert model.seen == [(4, 3), (1, 6), (1, 30)]


def test_a_run_is_measured_on_its_own_held_out_records_or_on_the_shipped_sets(tmp_path, monkeypatch):
    shipped = [case_set(Case(1, "a", "B"), name="free")]
    monkeypatch.setattr(evaluate.sets, "shipped", lambda names: shipped)
    assert evaluate.test_sets(tmp_path) is shipped
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "valid.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (own,) = evaluate.test_sets(tmp_path)
    assert (own.name, own.commands, len(own.cases)) == ("valid", False, 1)
