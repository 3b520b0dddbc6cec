"""Back end `xla`: the contract in JAX (edgellm.xla), compiled for JAX's default device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.numerics import onnxfile
from edgellm.numerics.model import IntegerModel
from edgellm.runtime.backends.stepped import Feed, SteppedDevice
from edgellm.runtime.device import MODEL_FILE, Device

SLOTS = 8
ROWS = 16  # tokens of a prompt in one step
SIZES = (1, 8, 32, SLOTS * ROWS)  # rows of a step, each compiled when it is first needed


class XlaStepper:
    """An integer model in JAX; see `stepped.Stepper`. Rows of all slots, prompts' tokens among them, go through one step."""

    name = "xla"
    rows = ROWS
    copies = True

    def __init__(self, model: IntegerModel, slots: int = SLOTS) -> None:
        import jax

        from edgellm.xla import decoder

        self.arch, self.logit_step, self.slots = model.arch, model.logit_step, slots
        self._x64, self._decoder = jax.enable_x64, decoder
        self._sizes = (*SIZES[:-1], max(SIZES[-1], slots * ROWS))
        self._logits = np.zeros((slots, model.arch.vocab), np.int16)
        with self._x64(True):
            self._constants, self._weights = decoder.constants(model), decoder.parameters(model)
            self._caches: decoder.Caches | None = decoder.caches(model.arch, slots)

    def step(self, feeds: Sequence[Feed]) -> None:
        """Feed all in one step."""
        if self._caches is None:
            raise BackendFailed("the device is closed: open the model again")
        rows, ends = self._packed(feeds)
        try:
            with self._x64(True):
                self._caches, logits = self._decoder.compiled_step(
                    self._constants, self._weights, self._caches, self._decoder.Rows(*rows)
                )
                found = np.asarray(logits)
        except RuntimeError as error:  # XLA's errors
            raise BackendFailed(f"XLA stopped: {error}") from error
        for feed, end in zip(feeds, ends, strict=True):
            self._logits[feed.slot] = found[end - 1]

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        row: NDArray[np.int16] = self._logits[slot]
        return row

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a slot; what lies behind the prefix is never read."""
        if self._caches is None:
            raise BackendFailed("the device is closed: open the model again")
        with self._x64(True):
            self._caches = self._decoder.compiled_copy(self._caches, np.int32(source), np.int32(target))

    def close(self) -> None:
        """Free the caches."""
        self._caches = None

    def _packed(self, feeds: Sequence[Feed]) -> tuple[NDArray[np.int32], list[int]]:
        """Slots, positions and tokens of the rows, int32 [3, R], idle ones at the end, and the end of each feed."""
        ends = np.cumsum([len(feed.tokens) for feed in feeds]).tolist()
        size = next(size for size in self._sizes if size >= ends[-1])
        rows = np.zeros((3, size), np.int32)
        rows[0] = self.slots  # which does not exist
        for (slot, tokens, position), end in zip(feeds, ends, strict=True):
            here = slice(end - len(tokens), end)
            rows[0, here], rows[2, here] = slot, tokens
            rows[1, here] = np.arange(position, position + len(tokens))
        return rows, ends


def open_device(folder: Path, slots: int = SLOTS) -> Device:
    """A device on a model folder. Raises: BackendUnavailable, ModelNotFound, ModelCorrupt, ModelUnsupported."""
    model = onnxfile.load(folder / MODEL_FILE)
    try:
        return SteppedDevice(XlaStepper(model, slots))
    except ImportError:
        raise BackendUnavailable("jax is not installed: pip install 'edgellm[xla]'") from None
