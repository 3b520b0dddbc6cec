"""Cutting a decoder down: nothing changes where nothing was lost, groups stay whole, the right things go."""

import dataclasses
import random

import pytest
import torch
from shapes import FULL_KV, HOME, SHARED_KV, TINY

from edgellm.errors import TrainingError
from edgellm.train import prune
from edgellm.train.batches import make_batch
from edgellm.train.importance import Importance
from edgellm.train.losses import answer_loss
from edgellm.train.model import Decoder, parameter_count
from edgellm.train.prune import Kept

pytestmark = pytest.mark.train
torch.set_num_threads(1)

WIDE = dataclasses.replace(SHARED_KV, layers=3)  # 6 heads on 2 KV heads


def lines(vocab, count=12):
    rng = random.Random(5)
    words = [[rng.randint(4, vocab - 1) for _ in range(rng.randint(2, 6))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


LINES = lines(33)
IDS = torch.tensor([[1, 9, 4, 30, 2, 17, 8]])


def decoder(arch=WIDE):
    torch.manual_seed(2)
    return Decoder(arch)


def logits(model):
    with torch.no_grad():
        return model(IDS)


def smaller(**sizes):
    return dataclasses.replace(WIDE, **sizes)


def silence(model, heads, channels):
    """Nothing reads these heads and channels, other ones in each layer; they are loud otherwise."""
    with torch.no_grad():
        for layer in range(model.arch.layers):
            block, dim = model.block(layer), model.arch.head_dim
            for head in heads[layer]:
                block.attn_out.weight[:, head * dim : (head + 1) * dim] = 0
                block.qkv.weight[head * dim : (head + 1) * dim] *= 5
            block.down.weight[:, channels[layer]] = 0
            block.gate_up.weight[channels[layer]] *= 5
    return model


def test_dead_channels_and_heads_go_and_no_logit_changes():
    dead = [[0, 7, 13, 39], [1, 2, 3, 4], [36, 37, 38, 39]]
    model = silence(decoder(), [[0, 5], [2, 3], [1, 4]], dead)
    pruned = prune.shrink(model, smaller(heads=4, ffn=36), LINES)
    assert pruned.arch == smaller(heads=4, ffn=36)
    assert torch.allclose(logits(pruned), logits(model), atol=1e-5)
    for layer in range(3):
        kept = [channel for channel in range(40) if channel not in dead[layer]]
        assert torch.equal(pruned.block(layer).down.weight, model.block(layer).down.weight[:, kept])


def test_whole_kv_groups_go_when_their_heads_are_dead():
    model = silence(decoder(), [[0, 1, 2], [3, 4, 5], [0, 1, 2]], [[], [], []])
    pruned = prune.shrink(model, smaller(heads=3, kv_heads=1), LINES)
    assert torch.allclose(logits(pruned), logits(model), atol=1e-5)
    second_group = model.block(1).qkv.weight[[*range(12), *range(24, 28), *range(32, 36)]]
    assert torch.equal(pruned.block(1).qkv.weight, second_group)


def with_idle_layers():
    """Layers 0 and 2 know the lines by heart, layers 1 and 3 only pass on what they get."""
    learned, model = decoder(smaller(layers=2)), decoder(smaller(layers=4))
    batch = make_batch(LINES, 0.0)
    optimizer = torch.optim.Adam(learned.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        answer_loss(learned(batch.ids[:, :-1]), batch, batch.weight.sum()).backward()
        optimizer.step()
    with torch.no_grad():
        for layer in (1, 3):
            model.block(layer).attn_out.weight.zero_()
            model.block(layer).down.weight.zero_()
    model.embedding.load_state_dict(learned.embedding.state_dict())
    for layer in (0, 1):
        model.block(2 * layer).load_state_dict(learned.block(layer).state_dict())
    return model


def test_layers_that_do_nothing_go_first():
    model = with_idle_layers()
    pruned = prune.shrink(model, smaller(layers=2), LINES)
    assert pruned.arch.layers == 2
    assert torch.equal(logits(pruned), logits(model))
    assert torch.equal(pruned.block(1).qkv.weight, model.block(2).qkv.weight)


def test_living_channels_cost_something():
    model = decoder()
    assert not torch.allclose(logits(prune.shrink(model, smaller(ffn=20), LINES)), logits(model), atol=1e-3)


def test_the_same_shape_is_a_copy_that_leaves_the_original_alone():
    model = decoder()
    copied = prune.shrink(model, WIDE, LINES)
    assert torch.equal(logits(copied), logits(model))
    with torch.no_grad():
        copied.block(0).down.weight.zero_()
    assert not torch.equal(logits(copied), logits(model))


@pytest.mark.parametrize(
    ("sizes", "parameters"),
    [
        ({"ffn": 24}, 97 * 24 + 3 * 24 * (40 + 24 + 3 * 24)),
        ({"heads": 2}, 97 * 24 + 3 * 24 * (24 + 8 + 3 * 40)),
        ({"layers": 1}, 97 * 24 + 24 * (40 + 24 + 3 * 40)),
    ],
)
def test_there_are_really_fewer_parameters(sizes, parameters):
    pruned = prune.shrink(decoder(), smaller(**sizes), LINES)
    assert sum(parameter.numel() for parameter in pruned.parameters()) == parameters
    assert parameter_count(pruned.arch) == parameters


def test_its_weights_load_into_a_plain_decoder_and_it_generates_with_a_cache():
    pruned = prune.shrink(decoder(), smaller(heads=2, ffn=12, layers=2), LINES)
    plain = Decoder(pruned.arch)
    plain.load_state_dict(pruned.state_dict())
    whole = logits(plain)
    assert torch.equal(whole, logits(pruned))
    with torch.no_grad():
        _, caches = plain.step(IDS[:, :-1], [None] * 2)
        last, _ = plain.step(IDS[:, -1:], caches)
    assert torch.allclose(last[:, 0], whole[:, -1], atol=1e-5)


def test_the_same_lines_prune_the_same():
    goal = smaller(heads=4, ffn=28, layers=2)
    first, second = (prune.shrink(decoder(), goal, LINES).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def heads(scores):
    return Importance(torch.tensor([scores], dtype=torch.float64), torch.zeros(1, 40, dtype=torch.float64))


@pytest.mark.parametrize(
    ("scores", "sizes", "kept", "groups"),
    [
        ([6, 1, 5, 2, 4, 3], {"heads": 4}, [0, 2, 4, 5], [0, 1]),
        (
            [6, 7, 8, 2, 3, 1],
            {"heads": 2},
            [2, 4],
            [0, 1],
        ),  # each group keeps one, though all of the first are better
        ([6, 7, 8, 2, 3, 1], {"heads": 3, "kv_heads": 1}, [0, 1, 2], [0]),
        ([1, 1, 9, 4, 4, 4], {"heads": 1, "kv_heads": 1}, [2], [0]),
        ([1, 1, 9, 4, 4, 4], {"heads": 3, "kv_heads": 1}, [3, 4, 5], [1]),  # 12 against 11
        ([1, 1, 1, 1, 1, 1], {"heads": 2}, [0, 3], [0, 1]),
    ],
)
def test_every_kv_head_keeps_equally_many_query_heads(scores, sizes, kept, groups):
    (chosen,) = prune.choose(heads(scores), WIDE, smaller(**sizes))
    assert chosen.heads.tolist() == kept
    assert chosen.kv_heads.tolist() == groups


def test_the_most_important_channels_stay_in_their_order():
    scores = torch.arange(40, dtype=torch.float64).roll(3)[None]
    (chosen,) = prune.choose(Importance(torch.zeros(1, 6), scores), WIDE, smaller(ffn=4))
    assert chosen.ffn.tolist() == [0, 1, 2, 39]


def test_cut_takes_the_rows_and_columns_of_what_stays():
    model = Decoder(TINY)
    both = torch.arange(2)
    kept = [Kept(both, both[:1], torch.tensor(ffn)) for ffn in ([1, 20], [5, 6])]
    gate_up = prune.cut(model, kept).block(1).gate_up.weight
    assert torch.equal(gate_up, model.block(1).gate_up.weight[[5, 6, 29, 30]])


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (smaller(heads=8), r"pruning cannot make heads 8 of 6: it must be 1 to 6"),
        (smaller(ffn=0), r"pruning cannot make ffn 0 of 40: it must be 1 to 40"),
        (smaller(width=8), r"pruning cannot make width 8 of 24: it must stay 24"),
        (
            smaller(heads=5),
            r"cannot leave 5 query heads on 2 KV heads of 6 on 2: every KV head that stays must keep as many",
        ),
        (smaller(heads=6, kv_heads=1), r"cannot leave 6 query heads on 1 KV heads of 6 on 2"),
    ],
)
def test_impossible_goals(goal, message):
    with pytest.raises(TrainingError, match=message):
        prune.shrink(decoder(), goal, LINES)


def test_no_lines():
    with pytest.raises(TrainingError, match=r"needs training lines to measure importance on, there are none"):
        prune.shrink(decoder(), smaller(ffn=12), [])


@pytest.mark.parametrize("arch", [HOME, FULL_KV])
def test_head_widths_and_full_attention(arch):
    goal = dataclasses.replace(arch, heads=arch.kv_heads - 1, kv_heads=arch.kv_heads - 1)
    pruned = prune.shrink(decoder(arch), goal, LINES)
    assert logits(pruned).shape == (1, 7, arch.vocab)
