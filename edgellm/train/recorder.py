"""What a stage leaves on disk while it trains: validation losses, log rows, checkpoints, the picture of the curves.

Validation and logging follow the step, so a resumed run repeats them; checkpoints follow the clock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgellm.train import curves
from edgellm.train.batches import Batch, Encoded, pack
from edgellm.train.logs import Row, StageLog
from edgellm.train.losses import answer_loss

if TYPE_CHECKING:
    from edgellm.train.loop import Stage

VALID_TOKENS = 8192
DRAW_SECONDS = 30.0  # a picture takes half a second


class Recorder:
    """Called after every step of the process that writes; a context manager."""

    def __init__(self, stage: Stage, valid: Sequence[Encoded]) -> None:
        self.valid, self.saving, self.folder = valid, stage.common.saving, stage.common.folder
        self._saved = self._drawn = time.monotonic()
        self._log = StageLog(self.folder, stage.name, stage.state.step)

    def after_step(self, stage: Stage, batch_loss: float, speed: float) -> None:
        """Note the step just done; `speed` in tokens/s."""
        state, due = stage.state, stage.done or stage.state.step % self.saving.valid_steps == 0
        if due:
            state.valid_loss = validation_loss(stage.model, self.valid)
        if due or state.step % self.saving.log_steps == 0:
            valid = state.valid_loss if due else None
            row = Row(stage.name, state.step, state.tokens, state.loss, valid, batch_loss, stage.rate)
            self._log.add(row, speed)
        if stage.done or time.monotonic() - self._saved >= self.saving.seconds:
            self._save(stage)

    def _save(self, stage: Stage) -> None:
        stage.save()
        self._saved = time.monotonic()
        if stage.done or self._saved - self._drawn >= DRAW_SECONDS:
            curves.draw(self.folder)
            self._drawn = time.monotonic()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()


@torch.no_grad()
def validation_loss(model: nn.Module, examples: Sequence[Encoded]) -> float:
    """Cross-entropy in nats per answer token, in float32."""
    device = next(model.parameters()).device
    model.eval()
    total = count = 0.0
    for batch in pack(examples, VALID_TOKENS, 0.0, random.Random(0)):
        here = Batch(batch.ids.to(device), batch.weight.to(device), batch.tokens)
        weight = float(batch.weight.sum())
        loss = answer_loss(model(here.ids[:, :-1]), here, torch.tensor(1.0, device=device))
        total, count = total + float(loss), count + weight
    model.train()
    return total / count
