"""Structured pruning: a float decoder becomes a smaller decoder, by taking away what matters least.

Nothing is masked: the weights of the heads, channels and layers that go are cut out, and what is left is a plain `Decoder` of
a smaller `Architecture`. Every layer loses as many heads and channels as the others, but its own ones. Within grouped-query
attention either whole groups go (a KV head with its query heads) or as many query heads from every group, so that every
KV head still serves equally many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgellm.errors import TrainingError
from edgellm.numerics.model import Architecture
from edgellm.train import importance, repair
from edgellm.train.batches import Encoded
from edgellm.train.importance import Importance
from edgellm.train.model import Block, Decoder

SHRINKS = ("layers", "heads", "kv_heads", "ffn")


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays in one layer: indices, ascending, int64. Head h belongs to KV head h // (heads / kv_heads)."""

    heads: Tensor
    kv_heads: Tensor
    ffn: Tensor


def shrink(
    model: Decoder, goal: Architecture, examples: Sequence[Encoded], prompt_weight: float = 0.0
) -> Decoder:
    """A model of shape `goal` without the layers, then the heads and FFN channels that matter least on `examples`.

    Layers go one at a time and are measured again in between, since what one does depends on the others; what stays of
    heads and channels makes up for what went as far as it can. The model given is not changed; the one returned is on the
    CPU. Raises: TrainingError when `goal` is not a smaller shape.
    """
    _check(model.arch, goal, examples)
    while model.arch.layers > goal.layers:
        model = without_layer(model, int(importance.layers(model, examples).argmin()))
    if model.arch == goal:
        return without_layer(model, None)
    kept = choose(importance.measure(model, examples, prompt_weight), model.arch, goal)
    smaller = cut(model, kept)
    make_up(smaller, model, kept, examples)
    return smaller


def choose(seen: Importance, arch: Architecture, goal: Architecture) -> list[Kept]:
    """The most important heads and channels of each layer, in the numbers that `goal` has; of equals the first stay."""
    return [
        Kept(*_choose_heads(heads, arch, goal), _top(ffn, goal.ffn))
        for heads, ffn in zip(seen.heads, seen.ffn, strict=True)
    ]


def cut(model: Decoder, kept: Sequence[Kept]) -> Decoder:
    """The model with what stays in each layer; the same function where nothing that went did anything."""
    first = kept[0]
    counts = {"heads": len(first.heads), "kv_heads": len(first.kv_heads), "ffn": len(first.ffn)}
    smaller = Decoder(dataclasses.replace(model.arch, **counts))
    with torch.no_grad():
        smaller.embedding.weight.copy_(model.embedding.weight)
        for layer, stays in enumerate(kept):
            _copy(smaller.block(layer), model.block(layer), stays)
    return smaller


def make_up(smaller: Decoder, model: Decoder, kept: Sequence[Kept], examples: Sequence[Encoded]) -> None:
    """Let what stays in each layer take over what it can of what went (`edgellm.train.repair`)."""
    with torch.no_grad():
        for layer, (stays, seen) in enumerate(zip(kept, repair.moments(model, examples), strict=True)):
            old, new = model.block(layer), smaller.block(layer)
            heads = _channels(stays.heads, model.arch.head_dim)
            new.attn_out.weight.copy_(repair.taken_over(old.attn_out.weight, heads, seen.attn_out))
            new.down.weight.copy_(repair.taken_over(old.down.weight, stays.ffn, seen.down))


def without_layer(model: Decoder, layer: int | None) -> Decoder:
    """The model without one layer; with None a plain copy."""
    left = [index for index in range(model.arch.layers) if index != layer]
    shorter = Decoder(dataclasses.replace(model.arch, layers=len(left)))
    shorter.embedding.load_state_dict(model.embedding.state_dict())
    for place, index in enumerate(left):
        shorter.block(place).load_state_dict(model.block(index).state_dict())
    return shorter


def _check(arch: Architecture, goal: Architecture, examples: Sequence[Encoded]) -> None:
    for field in dataclasses.fields(arch):
        old, new = getattr(arch, field.name), getattr(goal, field.name)
        if new != old and (field.name not in SHRINKS or not 1 <= new < old):
            limit = f"must be 1 to {old}" if field.name in SHRINKS else f"must stay {old}"
            raise TrainingError(f"pruning cannot make {field.name} {new} of {old}: it {limit}")
    if goal.heads % goal.kv_heads or goal.heads * arch.kv_heads > arch.heads * goal.kv_heads:
        raise TrainingError(
            f"pruning cannot leave {goal.heads} query heads on {goal.kv_heads} KV heads of {arch.heads} on {arch.kv_heads}: "
            "every KV head that stays must keep as many as the others, none more than it has"
        )
    if not examples:
        raise TrainingError("pruning needs training lines to measure importance on, there are none")


def _choose_heads(scores: Tensor, arch: Architecture, goal: Architecture) -> tuple[Tensor, Tensor]:
    """Query heads and KV heads: the groups whose best heads together matter most, and of each its best heads."""
    groups = scores.view(arch.kv_heads, -1)
    size = goal.heads // goal.kv_heads
    best = torch.stack([_top(group, size) for group in groups])
    chosen = _top(groups.gather(1, best).sum(1), goal.kv_heads)
    heads = best[chosen] + chosen[:, None] * groups.shape[1]
    return heads.flatten(), chosen


def _top(scores: Tensor, count: int) -> Tensor:
    """Indices of the largest scores, ascending."""
    order = torch.argsort(scores, descending=True, stable=True)
    return order[:count].sort().values


def _copy(target: Block, source: Block, kept: Kept) -> None:
    arch = source.arch
    heads = _channels(kept.heads, arch.head_dim)
    kv = _channels(kept.kv_heads, arch.head_dim) + arch.attention_width
    value_start = arch.kv_heads * arch.head_dim
    target.qkv.weight.copy_(source.qkv.weight[torch.cat((heads, kv, kv + value_start))])
    target.attn_out.weight.copy_(source.attn_out.weight[:, heads])
    target.gate_up.weight.copy_(source.gate_up.weight[torch.cat((kept.ffn, kept.ffn + arch.ffn))])
    target.down.weight.copy_(source.down.weight[:, kept.ffn])


def _channels(heads: Tensor, head_dim: int) -> Tensor:
    """Head indices -> indices of their channels."""
    return (heads[:, None] * head_dim + torch.arange(head_dim)).flatten()
