"""Where a process trains: its device, and its share of every batch when `torchrun` started several processes.

Every process draws the same batches, takes every n-th row of each, and divides by the loss weight of the whole batch; so
the sum of the gradients over the processes is the gradient that one process would have, up to rounding.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from edgellm.errors import BackendUnavailable, UsageError
from edgellm.train.batches import Batch

DEVICES = ("cpu", "cuda")
PATIENCE = timedelta(hours=24)  # the others wait while the first process draws the corpus or evaluates


@dataclass(frozen=True, slots=True)
class Place:
    """One training process: device, number among `ranks` processes, and whether it computes in bfloat16 where that is safe."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    ranks: int = 1
    bf16: bool = False

    @property
    def writes(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's rows on its device; `tokens` stay those of the whole batch.

        Without a row of its own a process takes the first with weight 0, so that all see the same graph.
        """
        ids, weight = batch.ids[self.rank :: self.ranks], batch.weight[self.rank :: self.ranks]
        if not len(ids):
            ids, weight = batch.ids[:1], torch.zeros_like(batch.weight[:1])
        return Batch(ids.to(self.device), weight.to(self.device), batch.tokens)

    def precision(self) -> AbstractContextManager[object]:
        """Mixed precision for the forward pass, or nothing."""
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> float:
        """Sum the gradients over all processes, in place; returns the summed loss."""
        if self.ranks == 1:
            return loss.item()
        used = [parameter for parameter in parameters if parameter.grad is not None]
        parts = [parameter.grad.flatten() for parameter in used if parameter.grad is not None]
        flat = torch.cat([*parts, loss.detach().reshape(1)])
        dist.all_reduce(flat)
        for parameter, part in zip(used, torch.split(flat[:-1], [p.numel() for p in used]), strict=True):
            parameter.grad = part.view_as(parameter)
        return flat[-1].item()

    def agree(self, module: nn.Module) -> None:
        """Give every process the first one's parameters."""
        if self.ranks > 1:
            for parameter in module.parameters():
                dist.broadcast(parameter.data, 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.ranks > 1:
            dist.barrier()


@contextlib.contextmanager
def join(device: str) -> Iterator[Place]:
    """The place of this process; under `torchrun` it joins the others (NCCL on CUDA, Gloo on the CPU).

    Raises: UsageError for an unknown device, BackendUnavailable when there is no CUDA device for this process.
    """
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", 0)))
    place = Place(chosen, rank, ranks, bf16=chosen.type == "cuda")
    if ranks == 1:
        yield place
        return
    if not place.writes:
        os.environ["EDGELLM_PROGRESS"] = "0"
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield place
    finally:
        dist.destroy_process_group()


def _device(name: str, index: int) -> torch.device:
    if name not in DEVICES:
        raise UsageError(f"device {name!r} does not exist: choose from {', '.join(DEVICES)}")
    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        raise BackendUnavailable(
            f"device cuda:{index} was asked for, but PyTorch {torch.__version__} sees {count} CUDA devices here: "
            "use --device cpu, start fewer processes, or install PyTorch's CUDA build and the driver"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
