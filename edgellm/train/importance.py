"""How much each head, FFN channel and layer of a float student matters, measured on training lines.

Heads and channels: a first-order Taylor estimate of what the loss would change by without them at one token, activation
times gradient, squared, averaged over tokens (channels: Molchanov et al. 2019, "Importance estimation for neural network
pruning"; heads: Michel et al. 2019, "Are sixteen heads really better than one?"). Layers: how much the loss grows when one
is skipped, measured and not estimated (as in Men et al. 2024, "ShortGPT", whose block influence stands in for it on models
too large to run that often). The loss is that of the answers, unless `prompt_weight` gives the commands a say as well.

A trained student is all but certain of most answers, where the gradient of its loss vanishes; what is left of it comes from
the few lines that it gets wrong, and ranks channels worse than chance (docs/pruning.md). So gradients are those of the
loss of softened predictions, at temperature `SOFT`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from edgellm.train.batches import Batch, Encoded, pack
from edgellm.train.losses import answer_loss
from edgellm.train.model import Block, Decoder
from edgellm.train.recorder import validation_loss

BATCH_TOKENS = 8192
SOFT = 4.0


@dataclass(frozen=True, slots=True)
class Importance:
    """heads [layers, heads] and ffn [layers, ffn], float64, squared nats a token; on the CPU."""

    heads: Tensor
    ffn: Tensor


def measure(model: Decoder, examples: Sequence[Encoded], prompt_weight: float = 0.0) -> Importance:
    """The importance of every head and FFN channel; `examples` must hold a line at least."""
    arch, total = model.arch, 0.0
    heads = torch.zeros(arch.layers, arch.heads, dtype=torch.float64)
    ffn = torch.zeros(arch.layers, arch.ffn, dtype=torch.float64)
    for batch in pack(examples, BATCH_TOKENS, prompt_weight, random.Random(0)):
        for layer, (head_part, ffn_part) in enumerate(_changes(model, batch)):
            heads[layer] += head_part.double().square().sum((0, 1)).cpu()
            ffn[layer] += ffn_part.double().square().sum((0, 1)).cpu()
        total += float(batch.weight.sum())
    return Importance(heads / total, ffn / total)


def layers(model: Decoder, examples: Sequence[Encoded]) -> Tensor:
    """[layers] float64: growth of the answer loss, nats a token, when that layer alone is skipped; may be negative."""
    whole = validation_loss(model, examples)
    skipped = [_loss_without(model, layer, examples) for layer in range(model.arch.layers)]
    return torch.tensor(skipped, dtype=torch.float64) - whole


def _loss_without(model: Decoder, layer: int, examples: Sequence[Encoded]) -> float:
    handle = model.block(layer).register_forward_hook(_skip)
    try:
        return validation_loss(model, examples)
    finally:
        handle.remove()


def _skip(block: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
    """The residual stream goes past the block."""
    return inputs[0], output[1]


def _changes(model: Decoder, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Per layer: derivative of the summed loss by a factor on each head and each channel, [lines, time, units].

    The factor is 1, so its derivative is activation times gradient.
    """
    device, (lines, time) = next(model.parameters()).device, batch.weight.shape
    gates = [
        [torch.ones(lines, time, size, device=device) for size in (model.arch.heads, model.arch.ffn)]
        for _ in range(model.arch.layers)
    ]
    every = [gate.requires_grad_() for pair in gates for gate in pair]
    handles = [hook for layer, pair in enumerate(gates) for hook in _install(model.block(layer), pair)]
    try:
        here = Batch(batch.ids.to(device), batch.weight.to(device), batch.tokens)
        loss = SOFT * answer_loss(model(here.ids[:, :-1]) / SOFT, here, torch.tensor(1.0, device=device))
    finally:
        for handle in handles:
            handle.remove()
    found = torch.autograd.grad(loss, every)
    return list(zip(found[::2], found[1::2], strict=True))


def _install(block: Block, gates: Sequence[Tensor]) -> list[RemovableHandle]:
    """Factors on the inputs of the two linear layers that read heads and channels."""
    readers = (block.attn_out, block.down)
    return [
        reader.register_forward_pre_hook(_times(gate)) for reader, gate in zip(readers, gates, strict=True)
    ]


def _times(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        width = inputs[0].shape[-1] // gate.shape[-1]
        return (inputs[0] * gate.repeat_interleave(width, -1),)

    return hook
