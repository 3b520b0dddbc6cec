"""What a stage minimises: cross-entropy on the answer, divergence from a teacher's logits, distance of hidden states.

Every loss is a mean over tokens weighted by `weight`. `total` is the weight to divide by: that of the whole batch, also
where a process holds only some of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgellm.errors import TrainingError
from edgellm.train.batches import Batch

Forward = Callable[[Tensor], Tensor]


def answer_loss(logits: Tensor, batch: Batch, total: Tensor) -> Tensor:
    """Cross-entropy in nats of logits [rows, time-1, vocab] against the next tokens of the batch."""
    each = F.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
    return (each * batch.weight.flatten()).sum() / total


def distillation(
    logits: Tensor, target: Tensor, weight: Tensor, temperature: float, total: Tensor | None = None
) -> Tensor:
    """KL from teacher to student with temperature (Hinton et al. 2015), scaled by its square.

    logits and target are [rows, time, vocab], weight is [rows, time]. Raises: TrainingError when vocab differs.
    """
    if logits.shape[-1] != target.shape[-1]:
        raise TrainingError(
            f"the teacher's vocab is {target.shape[-1]}, the student's {logits.shape[-1]}: "
            "logits are compared token by token, set distil = 0"
        )
    student, teacher = (x.div(temperature).log_softmax(-1) for x in (logits, target))
    divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)
    return (divergence * weight).sum() / (weight.sum() if total is None else total) * temperature**2


def layer_map(student: int, teacher: int) -> list[int]:
    """For each student layer the teacher layer at the same depth; last goes with last (Jiao et al. 2020)."""
    return [max(1, round((layer + 1) * teacher / student)) - 1 for layer in range(student)]


class HiddenMatch(nn.Module):
    """Squared distance of layer-normalised hidden states, the student's through one learned projection.

    FitNets (Romero et al. 2015) for every layer of `layer_map`, with one projection for all (TinyBERT, Jiao et al.
    2020). Both models must have `arch` and `blocks`; hooks on the blocks remember the last states, so call it after
    both have run. The projection [teacher width, student width] is this module's only parameter.
    """

    def __init__(self, student: nn.Module, teacher: Forward, seed: int) -> None:
        super().__init__()
        if not (isinstance(teacher, nn.Module) and hasattr(teacher, "blocks")):
            raise TrainingError(
                "hidden states can be matched only with a teacher of `[teacher]`: set hidden = 0"
            )
        mine, other = _arch(student), _arch(teacher)
        noise = torch.randn(other.width, mine.width, generator=torch.Generator().manual_seed(seed))
        self.projection = nn.Parameter(noise / math.sqrt(mine.width))
        self._mine: dict[int, Tensor] = {}
        self._other: dict[int, Tensor] = {}
        self.pairs = list(enumerate(layer_map(mine.layers, other.layers)))
        _watch(student, [mine for mine, _ in self.pairs], self._mine)
        _watch(teacher, sorted({other for _, other in self.pairs}), self._other)

    def forward(self, weight: Tensor, total: Tensor) -> Tensor:
        """The mean over layers; weight [rows, time] as of the other losses."""
        parts = [self._distance(self._mine[mine], self._other[other]) for mine, other in self.pairs]
        self._mine.clear()
        self._other.clear()
        return (torch.stack(parts).mean(0) * weight).sum() / total

    def _distance(self, mine: Tensor, other: Tensor) -> Tensor:
        """[rows, time] from [rows, time, width] of both."""
        projected = F.linear(mine, self.projection)
        apart = F.layer_norm(projected, projected.shape[-1:]) - F.layer_norm(other, other.shape[-1:])
        return apart.square().mean(-1)


def _arch(model: nn.Module) -> Any:
    return model.arch


def _watch(model: nn.Module, layers: Sequence[int], states: dict[int, Tensor]) -> None:
    """Keep the output of these blocks in `states`."""
    blocks: Any = model.blocks

    def keep(layer: int) -> Callable[..., None]:
        def hook(block: nn.Module, inputs: Any, output: Any) -> None:
            states[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    for layer in layers:
        blocks[layer].register_forward_hook(keep(layer))
