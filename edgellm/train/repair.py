"""What stays takes over what it can of what went, before any training.

The layer that reads the heads (`attn_out`) or channels (`down`) gets the weights with which it comes closest to its old output
on training lines: least squares, solved at once from second moments (He et al. 2017, "Channel pruning for accelerating very
deep neural networks"). Where nothing was read from what went, no weight changes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgellm.train.batches import Encoded, pack
from edgellm.train.model import Decoder

BATCH_TOKENS = 8192
RIDGE = 1e-3  # of the mean square: inputs that move together would get huge weights of opposite signs

LEAST = 1e-12  # for inputs that are always 0


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over tokens of x_i x_j of one layer's inputs, float64: of `attn_out` and of `down`; on the CPU."""

    attn_out: Tensor
    down: Tensor


@torch.no_grad()
def moments(model: Decoder, examples: Sequence[Encoded]) -> list[Moments]:
    """Of every layer, over all tokens of the lines that a later one is predicted from."""
    arch = model.arch
    seen = [
        Moments(
            *(torch.zeros(width, width, dtype=torch.float64) for width in (arch.attention_width, arch.ffn))
        )
        for _ in range(arch.layers)
    ]
    for batch in pack(examples, BATCH_TOKENS, 1.0, random.Random(0)):
        real = batch.weight.flatten() > 0  # padding weighs nothing
        handles = [
            getattr(model.block(layer), name).register_forward_pre_hook(_adding(getattr(part, name), real))
            for layer, part in enumerate(seen)
            for name in ("attn_out", "down")
        ]
        try:
            model(batch.ids[:, :-1].to(model.embedding.weight.device))
        finally:
            for handle in handles:
                handle.remove()
    return seen


def taken_over(weight: Tensor, kept: Tensor, moment: Tensor) -> Tensor:
    """[out, kept] in the dtype of `weight` [out, in]: the weights on the inputs `kept` that come closest to all of it.

    `kept` are indices, `moment` [in, in] is float64.
    """
    gone = torch.ones(len(moment), dtype=torch.bool)
    gone[kept] = False
    among = moment[kept][:, kept]
    ridge = (RIDGE * moment.diagonal().mean()).clamp(min=LEAST)
    steady = among + ridge * torch.eye(len(kept), dtype=torch.float64)
    old = weight.detach().double().cpu()
    lost = old[:, gone] @ moment[gone][:, kept]
    gained: Tensor = torch.linalg.solve(steady, lost.T).T
    return (old[:, kept] + gained).to(weight.dtype)


def _adding(total: Tensor, real: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].flatten(0, 1).double().cpu()[real]
        total.add_(rows.T @ rows)

    return hook
