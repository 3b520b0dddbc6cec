"""The search of widths: it finds what is cheap and good, keeps to the budget, goes on where it was."""

import dataclasses
import json

import pytest
from shapes import TINY

from edgellm.errors import TrainingError, UsageError
from edgellm.train import search
from edgellm.train.bits import Bits, problems
from edgellm.train.footprint import memory_bits
from edgellm.train.quality import Quality
from edgellm.train.search import Goal, Mix

pytestmark = pytest.mark.train


class Pretended:
    """A quantiser of a model that loses by known amounts: `down` needs 6 bits, the rest 3."""

    def __init__(self, stop_after=None):
        self.source = type("Source", (), {"arch": TINY})()
        self.unquantised = Quality(1.0, 0.9)
        self.asked, self.stop_after = [], stop_after

    def quality(self, bits: Bits) -> Quality:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(bits)
        short = sum(max(0, 6 - bits.of("down", layer)) for layer in range(2))
        for kind in ("qkv", "attn_out", "gate_up"):
            short += sum(max(0, 3 - bits.of(kind, layer)) for layer in range(2))
        short += (
            max(0, 4 - bits.head) + max(0, 4 - bits.embedding) + (8 - bits.activation) + (8 - bits.glu) / 4
        )
        return Quality(1 + 0.1 * short, 0.9 - 0.01 * short)


GOAL = Goal(budget=0.005, trials=24, seed=3)


def test_the_cheapest_within_the_budget_wins(tmp_path):
    quantiser = Pretended()
    mixes = search.search(quantiser, GOAL, tmp_path)
    assert len(mixes) == len(quantiser.asked) == 24
    best = mixes[0]
    assert best.fits(GOAL)
    assert best.cost == min(mix.cost for mix in mixes if mix.fits(GOAL)) == memory_bits(TINY, best.bits)
    uniform = [mix for mix in mixes if mix.number < 6]
    assert best.cost < min(mix.cost for mix in uniform if mix.fits(GOAL))
    assert all(not list(problems(mix.bits, 2)) for mix in mixes)


def test_the_first_mixes_are_uniform_from_wide_to_narrow(tmp_path):
    quantiser = Pretended()
    search.search(quantiser, dataclasses.replace(GOAL, trials=6), tmp_path)
    assert [(bits.weight, bits.head, bits.overrides) for bits in quantiser.asked] == [
        (width, width, {}) for width in (8, 6, 5, 4, 3, 2)
    ]
    assert all(
        (bits.embedding, bits.activation, bits.glu, bits.kv) == (8, 8, 8, 8) for bits in quantiser.asked
    )


def test_a_stopped_search_goes_on_and_ends_as_another(tmp_path):
    whole, first, second = Pretended(), Pretended(stop_after=13), Pretended()
    expected = search.search(whole, GOAL, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search.search(first, GOAL, tmp_path / "parts")
    assert search.search(second, GOAL, tmp_path / "parts") == expected
    assert [*first.asked, *second.asked] == whole.asked


def test_a_search_may_be_prolonged(tmp_path):
    search.search(Pretended(), dataclasses.replace(GOAL, trials=8), tmp_path)
    more = Pretended()
    assert len(search.search(more, dataclasses.replace(GOAL, trials=10), tmp_path)) == 10
    assert len(more.asked) == 2


def test_every_layer_for_itself(tmp_path):
    quantiser = Pretended()
    search.search(quantiser, dataclasses.replace(GOAL, per_layer=True, cost="weights"), tmp_path)
    own = [bits for bits in quantiser.asked if any(name.startswith("layers.") for name in bits.overrides)]
    assert own
    assert all(set(bits.overrides.values()) <= set(search.WEIGHTS) for bits in own)


def test_the_report(tmp_path):
    mixes = search.search(Pretended(), GOAL, tmp_path)
    report = json.loads((tmp_path / search.RESULT).read_text())
    assert report["goal"]["budget"] == 0.005
    assert report["float"] == {"loss": 1.0, "exact": 0.9}
    assert report["within_budget"] == sum(mix.fits(GOAL) for mix in mixes)
    assert report["mixes"][0] == json.loads(json.dumps(mixes[0].to_dict()))


def test_what_is_lost():
    before, after = Quality(0.5, 0.9), Quality(0.6, 0.88)
    assert Goal(0.01).lost(before, after) == pytest.approx(0.02)
    assert Goal(0.01, metric="loss").lost(before, after) == pytest.approx(0.2)


def test_ranking():
    def mix(number, cost, lost, loss=1.0):
        return Mix(number, Bits(), cost, Quality(loss, 0.5), lost)

    mixes = [mix(0, 5, 0.9), mix(1, 9, 0.0), mix(2, 7, 0.001), mix(3, 7, 0.002, 0.5), mix(4, 1, 0.3)]
    assert [found.number for found in search.ranked(mixes, GOAL)] == [3, 2, 1, 4, 0]


def test_no_mix_is_good_enough(tmp_path):
    hopeless = Pretended()
    hopeless.unquantised = Quality(0.5, 0.95)
    with pytest.raises(
        TrainingError,
        match=r"^no mix loses at most 0\.50%; the best of 24 loses 5\.00%: allow more with --bud",
    ):
        search.search(hopeless, GOAL, tmp_path)
    assert (tmp_path / search.RESULT).is_file()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": 1.0}, r"the budget is 100\.00%: it must be 0 % to below 100 %"),
        ({"metric": "bleu"}, "metric 'bleu' does not exist: choose from exact, loss"),
        ({"cost": "luts"}, "cost 'luts' does not exist: choose from memory, operations, weights"),
        ({"trials": 0}, "trials must be at least 1, not 0"),
    ],
)
def test_a_goal_out_of_range(fields, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        search.search(Pretended(), dataclasses.replace(GOAL, **fields), tmp_path)


def test_a_folder_of_another_search(tmp_path):
    search.search(Pretended(), GOAL, tmp_path)
    with pytest.raises(UsageError, match=r"holds a search with budget 0\.005, not 0\.1: take another folder"):
        search.search(Pretended(), dataclasses.replace(GOAL, budget=0.1), tmp_path)
    other = Pretended()
    other.unquantised = Quality(1.1, 0.9)
    with pytest.raises(UsageError, match=r"holds a search with float loss 1\.0, not 1\.1"):
        search.search(other, GOAL, tmp_path)


def test_a_damaged_journal(tmp_path):
    search.search(Pretended(), dataclasses.replace(GOAL, trials=2, budget=0.4), tmp_path)
    journal = tmp_path / search.JOURNAL
    journal.write_text("not a journal\n" + journal.read_text())
    with pytest.raises(UsageError, match=r"search\.journal: damaged .*: remove it to search again"):
        search.search(Pretended(), dataclasses.replace(GOAL, trials=2, budget=0.4), tmp_path)
