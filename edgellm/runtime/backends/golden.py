"""Back end `golden`: the NumPy model of the contract, the judge of all others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import IntegerModel
from edgellm.runtime.backends.stepped import Feed, SteppedDevice
from edgellm.runtime.device import MODEL_FILE, Device

SLOTS = 4


class GoldenStepper:
    """The golden model with a cache a slot, one after the other; see `stepped.Stepper`."""

    name = "golden"
    rows = 1  # so that a poll is not held up
    copies = True

    def __init__(self, model: IntegerModel, slots: int = SLOTS) -> None:
        self._model = GoldenModel(model)
        self.arch, self.logit_step, self.slots = model.arch, model.logit_step, slots
        self._caches = [self._model.new_cache() for _ in range(slots)]
        self._logits = np.zeros((slots, model.arch.vocab), np.int16)

    def step(self, feeds: Sequence[Feed]) -> None:
        """Feed each."""
        for slot, tokens, position in feeds:
            for at, token in enumerate(tokens, position):
                self._logits[slot] = self._model.step(self._caches[slot], token, at)

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        row: NDArray[np.int16] = self._logits[slot]
        return row

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a prefix."""
        for name in ("keys", "values"):
            before, after = getattr(self._caches[source], name), getattr(self._caches[target], name)
            after[:, :, :positions] = before[:, :, :positions]

    def close(self) -> None:
        """Nothing is held."""


def open_device(folder: Path, slots: int = SLOTS) -> Device:
    """A device on a model folder. Raises: ModelNotFound, ModelCorrupt, ModelUnsupported."""
    return SteppedDevice(GoldenStepper(onnxfile.load(folder / MODEL_FILE), slots))
