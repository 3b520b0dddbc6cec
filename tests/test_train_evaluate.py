"""Scores: what counts as right, intervals, greedy answers."""

import pytest
import torch
from shapes import TINY

from edgellm.data.tokenizer import END_ID
from edgellm.train.evaluate import MOST_TOKENS, greedy, parse, score
from edgellm.train.model import Decoder

pytestmark = pytest.mark.train
torch.set_num_threads(1)

ROW = ("turn on the lamp", "HassTurnOn area= dining room name= lamp", "Turned on the light")
RIGHT = "HassTurnOn area= dining room name= lamp\tTurned on the light"


def test_answers_are_taken_apart():
    answer = parse(RIGHT)
    assert answer.intent == "HassTurnOn"
    assert answer.slots == {"area": "dining room", "name": "lamp"}
    assert answer.reply == "Turned on the light"


@pytest.mark.parametrize("text", ["", "\t", "HassTurnOn", " area= x", "HassA b= \t\t"])
def test_any_text_can_be_taken_apart(text):
    parse(text)


@pytest.mark.parametrize(
    ("text", "intent", "exact", "reply"),
    [
        (RIGHT, 100, 100, 100),
        (RIGHT.replace("lamp", "lump"), 100, 0, 100),
        (RIGHT.replace(" name= lamp", ""), 100, 0, 100),
        (RIGHT.replace("\t", " item= milk\t"), 100, 0, 100),
        (RIGHT.replace("TurnOn", "TurnOff"), 0, 0, 100),
        (RIGHT.split("\t")[0], 100, 100, 0),
        ("", 0, 0, 0),
    ],
)
def test_what_counts(text, intent, exact, reply):
    report = score([ROW], [text])
    assert [report[name]["percent"] for name in ("intent", "exact", "reply")] == [intent, exact, reply]


def test_intervals_are_wilsons():
    report = score([ROW] * 100, [RIGHT] * 90 + [""] * 10)
    assert report["lines"] == 100
    assert report["exact"] == {"percent": 90.0, "low": 82.6, "high": 94.5}


class Scripted:
    """Says token `last + 1` until 20, then ends."""

    arch = TINY

    def step(self, ids, caches):
        following = torch.where(ids < 20, ids + 1, END_ID)
        return torch.nn.functional.one_hot(following, 40).float(), caches


def test_greedy_answers_each_prompt_in_its_place_and_stops_at_the_end():
    assert greedy(Scripted(), [[1, 15], [18], [3, 17]]) == [[16, 17, 18, 19, 20], [19, 20], [18, 19, 20]]


def test_greedy_stops_by_itself():
    class Endless(Scripted):
        def step(self, ids, caches):
            return torch.nn.functional.one_hot(torch.full_like(ids, 7), 40).float(), caches

    assert greedy(Endless(), [[1]]) == [[7] * MOST_TOKENS]


def test_greedy_batches_answer_like_single_prompts():
    torch.manual_seed(0)
    model = Decoder(TINY).eval()
    model.arch = TINY
    prompts = [[1, 2, 3], [4, 5, 6], [7], [3, 2, 1]]
    short = [answer[:8] for answer in greedy_within_context(model, prompts)]
    assert short == [greedy_within_context(model, [prompt])[0][:8] for prompt in prompts]


def greedy_within_context(model, prompts):
    """TINY holds 24 positions."""
    from edgellm.train import evaluate

    most, evaluate.MOST_TOKENS = evaluate.MOST_TOKENS, 12
    try:
        return greedy(model, prompts)
    finally:
        evaluate.MOST_TOKENS = most
