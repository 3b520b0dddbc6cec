"""One training stage: batches in a fixed order, two optimizers, checkpoints that resume to the same weights.

The order of the data depends on the seed and the epoch alone, and the state that is saved is all the state there is; so a
run that was killed and resumed ends with the weights of one that was not (on one machine, with as many threads).
"""

from __future__ import annotations

import csv
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgellm import progress
from edgellm.errors import TrainingError
from edgellm.numerics.model import Architecture
from edgellm.train import checkpoint
from edgellm.train.batches import Batch, Encoded, pack
from edgellm.train.config import Plan
from edgellm.train.model import sections
from edgellm.train.optimizers import Muon, load_state_tensors, state_tensors

SAVE_SECONDS = 60.0
CLIP_NORM = 1.0
FINAL_LR = 0.01
SMOOTH = 0.98
VALID_TOKENS = 8192
Forward = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class State:
    """Where a stage stands."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    loss: float = math.nan


class Stage:
    """Trains `model` in `folder`; `teacher` gives logits to distil from when the plan asks for it."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        arch: Architecture,
        plan: Plan,
        folder: Path,
        seed: int,
        teacher: Forward | None,
    ) -> None:
        self.name, self.model, self.plan, self.folder = name, model, plan, folder
        self.seed, self.teacher, self.state = seed, teacher, State()
        self.optimizers = make_optimizers(model, arch, plan)
        self._names = {parameter: key for key, parameter in model.named_parameters()}

    def run(self, examples: Sequence[Encoded], valid: Sequence[Encoded], resume: bool) -> State:
        """Train to the plan's end, or go on from the last checkpoint when `resume`.

        Raises: TrainingError when the loss is not finite (the last good checkpoint is kept).
        """
        if resume and checkpoint.exists(self.folder):
            self._load()
        if self.state.tokens >= self.plan.tokens:
            return self.state
        saved = time.monotonic()
        with progress.track(f"Training {self.name}", self.plan.tokens) as bar:
            bar.advance(self.state.tokens)
            start, before = time.monotonic(), self.state.tokens
            for batch in self._batches(examples):
                self._step(batch)
                speed = (self.state.tokens - before) / (time.monotonic() - start)
                bar.advance(batch.tokens, loss=self.state.loss, **{"tokens/s": speed})
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(validation_loss(self.model, valid))
                    saved = time.monotonic()
                if self.state.tokens >= self.plan.tokens:
                    break
        self._save(validation_loss(self.model, valid))
        return self.state

    def _batches(self, examples: Sequence[Encoded]) -> Iterator[Batch]:
        while True:
            order = random.Random(f"{self.seed}:{self.name}:{self.state.epoch}")
            epoch = pack(examples, self.plan.batch_tokens, self.plan.prompt_weight, order)
            while self.state.batch < len(epoch):
                self.state.batch += 1
                yield epoch[self.state.batch - 1]
            self.state.epoch, self.state.batch = self.state.epoch + 1, 0

    def _step(self, batch: Batch) -> None:
        share = self.state.tokens / self.plan.tokens
        factor = max(min(1.0, share / self.plan.warmup if self.plan.warmup else 1.0) * (1 - share), FINAL_LR)
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * factor
            optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, share)
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"stage {self.name}: the loss is {loss.item()} at step {self.state.step}; the last good checkpoint is kept in "
                f"{self.folder}: lower lr ({self.plan.lr}) and resume"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        for optimizer in self.optimizers:
            optimizer.step()
        self.state.step += 1
        self.state.tokens += batch.tokens
        old = self.state.loss
        self.state.loss = loss.item() if math.isnan(old) else SMOOTH * old + (1 - SMOOTH) * loss.item()

    def _loss(self, batch: Batch, share: float) -> Tensor:
        logits = self.model(batch.ids[:, :-1])
        weight = batch.weight.flatten()
        answer = F.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
        loss = (answer * weight).sum() / weight.sum()
        if self.teacher is None or share < self.plan.distil_from:
            return loss
        with torch.no_grad():
            target = self.teacher(batch.ids[:, :-1])
        return (1 - self.plan.distil) * loss + self.plan.distil * distillation(
            logits, target, batch.weight, self.plan.temperature
        )

    def _save(self, valid_loss: float) -> None:
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            state = state_tensors(optimizer, self._names)
            tensors |= {f"optimizer{number}.{key}": value for key, value in state.items()}
        about = {"stage": self.name, "state": vars_of(self.state), "valid_loss": valid_loss}
        checkpoint.save(self.folder, tensors, about)
        log(self.folder.parent / "log.csv", self.name, self.state, valid_loss)

    def _load(self) -> None:
        tensors, about = checkpoint.load(self.folder)
        self.model.load_state_dict(model_tensors(tensors), strict=False)
        for number, optimizer in enumerate(self.optimizers):
            prefix = f"optimizer{number}."
            own = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            load_state_tensors(optimizer, self._names, own)
        self.state = State(**about["state"])


def vars_of(state: State) -> dict[str, float]:
    """The state as JSON."""
    return {name: getattr(state, name) for name in State.__slots__}


def model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's part of a stage checkpoint."""
    return {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}


def make_optimizers(model: nn.Module, arch: Architecture, plan: Plan) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the blocks, fused weights section by section; AdamW for the tied embedding."""
    fused = sections(arch)
    matrices = []
    for name, parameter in model.named_parameters():
        if "blocks" in name:
            kind = name.split(".")[2]
            matrices.append((parameter, getattr(fused, kind, (parameter.shape[0],))))
    rest = [parameter for name, parameter in model.named_parameters() if "blocks" not in name]
    adam = torch.optim.AdamW(rest, plan.embedding_lr, betas=(0.9, 0.98), weight_decay=0.0)
    return Muon(matrices, plan.lr), adam


def distillation(logits: Tensor, target: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Weighted KL from teacher to student with temperature (Hinton et al. 2015), scaled by its square."""
    student, teacher = (x.div(temperature).log_softmax(-1) for x in (logits, target))
    divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)
    return (divergence * weight).sum() / weight.sum() * temperature**2


@torch.no_grad()
def validation_loss(model: nn.Module, examples: Sequence[Encoded]) -> float:
    """Cross-entropy in nats per answer token."""
    model.eval()
    total = count = 0.0
    for batch in pack(examples, VALID_TOKENS, 0.0, random.Random(0)):
        logits = model(batch.ids[:, :-1]).flatten(0, 1)
        loss = F.cross_entropy(logits, batch.ids[:, 1:].flatten(), reduction="none")
        total += float((loss * batch.weight.flatten()).sum())
        count += float(batch.weight.sum())
    model.train()
    return total / count


def log(path: Path, stage: str, state: State, valid_loss: float) -> None:
    """Append one line to the run's CSV log."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["stage", "step", "tokens", "loss", "valid_loss"])
        writer.writerow([stage, state.step, state.tokens, f"{state.loss:.5f}", f"{valid_loss:.5f}"])
