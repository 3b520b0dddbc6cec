"""Muon for weight matrices (orthogonalised momentum, Jordan et al. 2024) beside AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95


def orthogonalise(updates: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices (approximately) of [n, rows, columns]."""
    tall = updates.shape[1] > updates.shape[2]
    x: Tensor = updates.transpose(1, 2) if tall else updates
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Steps every matrix by an orthogonal update; a fused weight is stepped section by section.

    `matrices` are (parameter, rows of each section); the state of a parameter is its momentum. Every step also takes
    `lr * weight_decay` of a weight away (decoupled, Loshchilov and Hutter 2019): without it the updates, all of one size,
    let weights and the residual stream grow without bound (Liu et al. 2025, "Muon is scalable").
    """

    def __init__(
        self, matrices: Iterable[tuple[nn.Parameter, tuple[int, ...]]], lr: float, weight_decay: float = 0.0
    ) -> None:
        pairs = list(matrices)
        self.rows, self.weight_decay = dict(pairs), weight_decay
        super().__init__([parameter for parameter, _ in pairs], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is None:
                continue
            parameter.mul_(1 - self.param_groups[0]["lr"] * self.weight_decay)
            momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            momentum.mul_(MOMENTUM).add_(parameter.grad)
            update = parameter.grad.add(momentum, alpha=MOMENTUM)
            rows = self.rows[parameter]
            for target, part in zip(parameter.split(rows), update.split(rows), strict=True):
                by_shape[part.shape].append((target, part))
        for shape, pairs in by_shape.items():
            lr = self.param_groups[0]["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            for (target, _), update in zip(
                pairs, orthogonalise(torch.stack([u for _, u in pairs])), strict=True
            ):
                target.add_(update, alpha=-lr)


def state_tensors(optimizer: torch.optim.Optimizer, names: dict[nn.Parameter, str]) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, for a checkpoint."""
    return {
        f"{names[parameter]}:{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(parameter, nn.Parameter)
    }


def load_state_tensors(
    optimizer: torch.optim.Optimizer, names: dict[nn.Parameter, str], tensors: dict[str, Tensor]
) -> None:
    """The inverse of `state_tensors`."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = names[parameter] + ":"
            state = {
                key[len(prefix) :]: value.to(parameter.device)
                if value.dim()
                else value  # a step count stays here
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
            if state:
                optimizer.state[parameter] = state
