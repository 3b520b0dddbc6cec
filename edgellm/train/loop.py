"""One training stage: batches in a fixed order, two optimizers, checkpoints that resume to the same weights.

The order of the data depends on the seed and the epoch alone, and the state that is saved is all the state there is; so a
run that was killed and resumed ends with the weights of one that was not (on one machine, with as many threads).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from edgellm import progress
from edgellm.errors import TrainingError
from edgellm.numerics.model import Architecture
from edgellm.train import checkpoint
from edgellm.train.batches import Batch, Encoded, lengths, pack
from edgellm.train.config import Plan, Saving
from edgellm.train.losses import Forward, HiddenMatch, answer_loss, distillation
from edgellm.train.model import sections
from edgellm.train.optimizers import Muon, load_state_tensors, state_tensors
from edgellm.train.parallel import Place
from edgellm.train.recorder import Recorder

CLIP_NORM = 1.0
FINAL_LR = 0.01
SMOOTH = 0.98
PROJECTION = "hidden.projection"


@dataclass(frozen=True, slots=True)
class Common:
    """What all stages of a run share."""

    folder: Path
    seed: int = 1
    saving: Saving = field(default_factory=Saving)
    place: Place = field(default_factory=Place)


@dataclass(slots=True)
class State:
    """Where a stage stands; losses in nats a token."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    loss: float = math.nan  # smoothed
    valid_loss: float | None = None  # when last measured


class Stage:
    """Trains `model` into the folder of its name; `teacher` gives what the plan wants to distil."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        arch: Architecture,
        plan: Plan,
        common: Common,
        teacher: Forward | None = None,
    ) -> None:
        self.name, self.arch, self.plan, self.common = name, arch, plan, common
        self.folder, self.place, self.seed = common.folder / name, common.place, common.seed
        self.teacher = teacher if plan.distil or plan.hidden else None
        self.model, self.state = model.to(self.place.device), State()
        self.optimizers, self.hidden = make_optimizers(model, arch, plan), self._hidden_match()
        if self.hidden is not None:
            self.optimizers += (adam([self.hidden.projection], plan),)
        self._names = {parameter: key for key, parameter in self._parameters()}

    def _hidden_match(self) -> HiddenMatch | None:
        if self.teacher is None or not self.plan.hidden:
            return None
        return HiddenMatch(self.model, self.teacher, self.seed).to(self.place.device)

    def run(self, examples: Sequence[Encoded], valid: Sequence[Encoded], resume: bool) -> State:
        """Train to the plan's end, or go on from the last checkpoint when `resume`.

        Raises: TrainingError when the loss is not finite or the disk is full (the last good checkpoint is kept), and
        when lines are missing or longer than the context.
        """
        if resume and checkpoint.exists(self.folder):
            self._load()
        if self.done:
            return self.state
        self._check(examples, valid)
        for module in self._modules():
            self.place.agree(module)
        with checkpoint.disk_errors(self.folder), self._recorder(valid) as recorder:
            self._train(examples, recorder)
        return self.state

    @property
    def done(self) -> bool:
        """Whether the plan's tokens were seen."""
        return self.state.tokens >= self.plan.tokens

    def _train(self, examples: Sequence[Encoded], recorder: Recorder | None) -> None:
        before, start = self.state.tokens, time.monotonic()
        with progress.track(f"Training {self.name}", self.plan.tokens, done=before) as bar:
            for batch in self._batches(examples):
                loss = self._step(batch)
                speed = (self.state.tokens - before) / (time.monotonic() - start)
                bar.advance(batch.tokens, loss=self.state.loss, **{"tokens/s": speed})
                if recorder:
                    recorder.after_step(self, loss, speed)
                if self.done:
                    break

    def _batches(self, examples: Sequence[Encoded]) -> Iterator[Batch]:
        while True:
            order = random.Random(f"{self.seed}:{self.name}:{self.state.epoch}")
            epoch = pack(examples, self.plan.batch_tokens, self.prompt_weight, order)
            while self.state.batch < len(epoch):
                self.state.batch += 1
                epoch.prompt_weight = self.prompt_weight
                yield epoch[self.state.batch - 1]
            self.state.epoch, self.state.batch = self.state.epoch + 1, 0

    def _step(self, batch: Batch) -> float:
        """One update from a batch; returns its loss."""
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * self.rate
            optimizer.zero_grad(set_to_none=True)
        loss = self._gradients(batch)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM))
        for value, what in ((loss, "loss"), (norm, "gradient's norm")):
            if not math.isfinite(value):
                raise TrainingError(
                    f"stage {self.name}: the {what} is {value} at step {self.state.step}; the last good checkpoint is "
                    f"kept in {self.folder}: lower lr ({self.plan.lr}) and resume"
                )
        for optimizer in self.optimizers:
            optimizer.step()
        self.state.step += 1
        self.state.tokens += batch.tokens
        old = self.state.loss
        self.state.loss = loss if math.isnan(old) else SMOOTH * old + (1 - SMOOTH) * loss
        return loss

    @property
    def share(self) -> float:
        """How much of the plan is done, 0 to 1."""
        return self.state.tokens / self.plan.tokens

    @property
    def prompt_weight(self) -> float:
        """Loss weight of a prompt's tokens: down to zero, because what cannot be predicted drowns the answers' last errors."""
        return self.plan.prompt_weight * (1 - self.share)

    @property
    def rate(self) -> float:
        """Learning rates as a part of the plan's: up in `warmup`, then linearly down."""
        warm = self.share / self.plan.warmup if self.plan.warmup else 1.0
        return max(min(1.0, warm) * (1 - self.share), FINAL_LR)

    def _gradients(self, batch: Batch) -> float:
        total = batch.weight.sum().to(self.place.device)
        with self.place.precision():
            loss = self._loss(self.place.share(batch), total)
        loss.backward()  # type: ignore[no-untyped-call]
        return self.place.add_up((parameter for _, parameter in self._parameters()), loss)

    def _loss(self, batch: Batch, total: Tensor) -> Tensor:
        ids, plan = batch.ids[:, :-1], self.plan
        logits = self.model(ids)
        loss = answer_loss(logits, batch, total)
        if self.teacher is None or self.share < plan.distil_from:
            return loss
        with torch.no_grad():
            target = self.teacher(ids)
        if plan.distil:
            apart = distillation(logits, target, batch.weight, plan.temperature, total)
            loss = (1 - plan.distil) * loss + plan.distil * apart
        return loss if self.hidden is None else loss + plan.hidden * self.hidden(batch.weight, total)

    def save(self) -> None:
        """Write the checkpoint: model, optimizers, the projection of hidden states, where the stage stands."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        if self.hidden is not None:
            tensors[PROJECTION] = self.hidden.projection
        for number, optimizer in enumerate(self.optimizers):
            state = state_tensors(optimizer, self._names)
            tensors |= {f"optimizer{number}.{key}": value for key, value in state.items()}
        about = {
            "stage": self.name,
            "state": dataclasses.asdict(self.state),
            "valid_loss": self.state.valid_loss,
            "arch": dataclasses.asdict(self.arch),
        }
        checkpoint.save(self.folder, tensors, about)

    def _load(self) -> None:
        if self.place.writes:
            checkpoint.mend(self.folder)
        tensors, about = checkpoint.load(self.folder)
        checkpoint.fill(self.model, checkpoint.model_tensors(tensors), about, self.arch, self.folder)
        if self.hidden is not None:
            if PROJECTION not in tensors:
                raise TrainingError(
                    f"{self.folder}: the stage was begun with hidden = 0: keep that, or begin again"
                )
            self.hidden.projection.data.copy_(tensors[PROJECTION])
        for number, optimizer in enumerate(self.optimizers):
            prefix = f"optimizer{number}."
            own = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            load_state_tensors(optimizer, self._names, own)
        self.state = State(**about["state"])

    def _modules(self) -> list[nn.Module]:
        return [self.model] if self.hidden is None else [self.model, self.hidden]

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for module in self._modules():
            yield from module.named_parameters()

    def _recorder(self, valid: Sequence[Encoded]) -> AbstractContextManager[Recorder | None]:
        if not self.place.writes:
            return contextlib.nullcontext()
        return Recorder(self, valid)

    def _check(self, examples: Sequence[Encoded], valid: Sequence[Encoded]) -> None:
        for lines, kind in ((examples, "training"), (valid, "validation")):
            if not lines:
                raise TrainingError(f"stage {self.name}: there is no {kind} line")
            longest = max(lengths(lines)) - 1
            if longest > self.arch.context:
                raise TrainingError(
                    f"stage {self.name}: a {kind} line needs {longest} positions, the context has {self.arch.context}: "
                    "shorten the line or raise context"
                )


def make_optimizers(model: nn.Module, arch: Architecture, plan: Plan) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the blocks, fused weights section by section; AdamW for the tied embedding."""
    fused = sections(arch)
    matrices = []
    for name, parameter in model.named_parameters():
        if "blocks" in name:
            kind = name.split(".")[2]
            matrices.append((parameter, getattr(fused, kind, (parameter.shape[0],))))
    rest = [parameter for name, parameter in model.named_parameters() if "blocks" not in name]
    return Muon(matrices, plan.lr, plan.weight_decay), adam(rest, plan)


def adam(parameters: Sequence[nn.Parameter], plan: Plan) -> torch.optim.AdamW:
    """AdamW at the plan's `embedding_lr`."""
    return torch.optim.AdamW(parameters, plan.embedding_lr, betas=(0.9, 0.98), weight_decay=0.0)
