"""Packing: every token once, answers weighted, padding silent."""

import hashlib
import json
import random

import pytest
import torch
from home_rows import ROWS

from edgellm.data import tokenizer as bpe
from edgellm.data.examples import Examples
from edgellm.train.batches import balance, make_batch, pack

pytestmark = pytest.mark.train


def examples(count=300, seed=0):
    rng = random.Random(seed)
    lengths = [rng.randint(5, 60) for _ in range(count)]
    return [([rng.randint(4, 99) for _ in range(n)], rng.randint(2, n - 2)) for n in lengths]


def test_weights_of_one_batch():
    batch = make_batch([([1, 7, 3, 8, 9, 2], 3), ([1, 3, 2], 2)], 0.25)
    assert batch.ids.tolist() == [[1, 7, 3, 8, 9, 2], [1, 3, 2, 0, 0, 0]]
    assert batch.weight.tolist() == [[0.25, 0.25, 1, 1, 1], [0.25, 1, 0, 0, 0]]
    assert batch.tokens == 9


def test_every_example_is_packed_once_within_the_budget():
    lines = examples()
    batches = pack(lines, 256, 0.1, random.Random(1))
    rows = [[t for t in row if t] for batch in batches for row in batch.ids.tolist()]
    assert sorted(rows) == sorted(ids for ids, _ in lines)
    assert all(batch.ids.numel() <= 256 for batch in batches)
    assert sum(batch.tokens for batch in batches) == sum(len(ids) for ids, _ in lines)


def test_little_padding():
    batches = pack(examples(1000), 512, 0.1, random.Random(1))
    assert sum(b.tokens for b in batches) / sum(b.ids.numel() for b in batches) > 0.9


def test_a_line_longer_than_the_budget_is_a_batch_of_its_own():
    batches = pack([(list(range(1, 41)), 5)], 16, 0.1, random.Random(0))
    assert [tuple(b.ids.shape) for b in batches] == [(1, 40)]


def test_order_follows_the_generator_alone():
    def first(seed):
        return [b.ids.tolist() for b in pack(examples(), 256, 0.1, random.Random(seed))]

    assert first(1) == first(1) != first(2)


def test_home_batches_are_what_they_were(tmp_path):
    """Recorded before batches were made on demand: shipped checkpoints and resumed runs rest on it."""
    bpe.train_tokenizer(ROWS, 320, tmp_path / "t.json")
    rows = balance(ROWS, 30, random.Random(3))
    lines = bpe.encode_rows(bpe.load_tokenizer(tmp_path / "t.json"), rows)
    for kept in (lines, Examples(lines)):
        batches = pack(kept, 256, 0.1, random.Random("3:student:0"))
        content = [[b.ids.tolist(), b.weight.tolist(), b.tokens] for b in batches]
        assert hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16] == "6de9b9a89c1610f5"


def test_batches_are_made_when_asked_for():
    batches = pack(examples(), 256, 0.1, random.Random(1))
    every = [b.ids.tolist() for b in batches]
    assert [b.ids.tolist() for b in batches[1::3]] == every[1::3]
    assert batches[-1].ids.tolist() == every[-1]
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_padding_has_no_say_in_the_loss():
    short = make_batch([([1, 5, 3, 6, 2], 3)], 0.5)
    padded = make_batch([([1, 5, 3, 6, 2], 3), ([1] * 12, 6)], 0.5)
    assert torch.equal(padded.weight[0, :4], short.weight[0])
    assert padded.weight[0, 4:].sum() == 0


def test_rare_intents_are_repeated():
    rows = [("a", "HassA x= 1", "r")] * 10 + [("b", "HassB", "r")]
    more = balance(rows, 6, random.Random(0))
    assert [sum(row[1].startswith(i) for row in more) for i in ("HassA", "HassB")] == [10, 6]
    assert more[: len(rows)] == rows
