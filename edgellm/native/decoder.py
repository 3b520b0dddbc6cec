"""A decoder of the C library: slots that are fed side by side, tokens as events."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.native import binding
from edgellm.native.binding import LinearLayer, Pointer, Request, Shape, Tables, pointer
from edgellm.numerics.model import Int, IntegerModel, Linear
from edgellm.numerics.sampling import GREEDY, Sampling, noise_table, shift_of, step_bits_of

ROWS = 64  # tokens of a step, prompts' included: more would not be faster
STEPS = 1 << 30


class NativeDecoder:
    """An integer model in C with `slots` streams. Not for two threads at once.

    Raises: ToolMissing where the library has to be compiled and cannot be, BackendFailed without memory.
    """

    def __init__(self, model: IntegerModel, slots: int = 1, rows: int = ROWS) -> None:
        self.model, self.slots = model, slots
        self._library = binding.load()
        kept: list[NDArray[Any]] = []
        shape = _shape(model, slots, max(rows, slots))
        layers = [_linear(getattr(block, kind), kept) for block in model.blocks for kind in binding.KINDS]
        handle = self._library.edgellm_open(
            ctypes.byref(shape),
            ctypes.byref(_tables(model, kept)),
            (LinearLayer * len(layers))(*layers),
            ctypes.byref(_linear(model.head, kept)),
        )
        if not handle:
            raise BackendFailed(f"not enough memory for {slots} slots: open the model with fewer")
        self._handle: int = handle
        self._events = np.zeros(max(2 * slots, 256), binding.EVENT)
        self._free = weakref.finalize(self, self._library.edgellm_close, handle)
        self._logits = [self._view(slot) for slot in range(slots)]

    @property
    def variant(self) -> str:
        """The set of instructions in use: avx512, avx2, neon or generic."""
        name: bytes = self._library.edgellm_variant()
        return name.decode("ascii")

    def use(self, variant: str) -> None:
        """Use another set of instructions, in every decoder. Raises: BackendUnavailable where this machine lacks it."""
        if not self._library.edgellm_use(variant.encode()):
            raise BackendUnavailable(f"this machine cannot run the {variant} kernels; it uses {self.variant}")

    def submit(
        self,
        slot: int,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        start: int = 0,
        sampling: Sampling = GREEDY,
        by_host: bool = False,
    ) -> None:
        """Begin an answer in a free slot, prompt's first token at position `start`; what lies before is in the cache.

        With `by_host` the events have token -1, and `choose` says how to go on. The arguments are those of a checked request
        (numerics.generation.check_request). Raises: ModelUnsupported for noise that the model's logit step does not allow.
        """
        prompt, stops = np.array(prompt_ids, np.int32), np.array(sorted(stop_ids), np.int32)
        stops = stops[(stops >= 0) & (stops < self.model.arch.vocab)]
        shift = shift_of(step_bits_of(self.model.logit_step)) if sampling.temperature else 1
        request = Request(
            slot=slot,
            start=start,
            length=len(prompt),
            max_tokens=min(max_tokens, self.model.arch.context + 1),
            prompt=pointer(prompt, ctypes.c_int32),
            stop_ids=pointer(stops, ctypes.c_int32),
            stop_count=len(stops),
            mode=binding.BY_HOST if by_host else binding.SAMPLED,
            temperature=sampling.temperature,
            noise_shift=shift,
            seed=sampling.seed,
        )
        self._library.edgellm_submit(self._open(), ctypes.byref(request))

    def run(self, steps: int = STEPS) -> NDArray[np.void]:
        """Feed every busy slot for up to `steps` steps: events (slot, token, reason, position), a view until the next call."""
        room = len(self._events)
        made = self._library.edgellm_run(self._open(), steps, self._events.ctypes.data, room)
        return self._events[:made]

    def choose(self, slot: int, token: int) -> int:
        """Answer to an event with token -1: the token that follows. The reason to end with it, as of an event."""
        reason: int = self._library.edgellm_choose(self._open(), slot, token)
        return reason

    def cancel(self, slot: int) -> None:
        """Free a slot at once; a free one stays free."""
        self._library.edgellm_cancel(self._open(), slot)

    def copy(self, source: int, target: int, positions: int) -> None:
        """Let the first positions of the free slot `target` be those of `source`."""
        self._library.edgellm_copy(self._open(), source, target, positions)

    def logits(self, slot: int) -> NDArray[np.int16]:
        """Logits int16 [vocab] behind the slot's last event: a view until its next one."""
        self._open()
        return self._logits[slot]

    def close(self) -> None:
        """Free the memory; a second call does nothing."""
        self._free()

    def _open(self) -> int:
        if not self._free.alive:  # closed, or the process is about to end
            raise BackendFailed("the decoder is closed: open the model again")
        return self._handle

    def _view(self, slot: int) -> NDArray[np.int16]:
        """Logits of a slot, without copying; valid as long as the decoder."""
        address = self._library.edgellm_logits(self._open(), slot)
        row: NDArray[np.int16] = np.ctypeslib.as_array(
            (ctypes.c_int16 * self.model.arch.vocab).from_address(address)
        )
        return row


def _shape(model: IntegerModel, slots: int, rows: int) -> Shape:
    widths = model.widths
    return Shape(
        **asdict(model.arch),
        **asdict(model.numerics),
        activation_bits=widths.activation,
        kv_bits=widths.kv,
        glu_bits=widths.glu,
        slots=slots,
        rows=rows,
    )


def _tables(model: IntegerModel, kept: list[NDArray[Any]]) -> Tables:
    base, drop = noise_table()
    return Tables(
        embedding=_array(model.embedding, np.int8, kept),
        exp_table=_array(model.exp_table, np.uint8, kept),
        silu_table=_array(model.silu_table, np.int8, kept),
        rope_cos=_array(model.rope_cos, np.int16, kept),
        rope_sin=_array(model.rope_sin, np.int16, kept),
        noise_base=_array(base, np.int32, kept),
        noise_drop=_array(drop, np.int32, kept),
    )


def _linear(linear: Linear, kept: list[NDArray[Any]]) -> LinearLayer:
    return LinearLayer(
        weight=_array(linear.weight, np.int8, kept),
        mult=_array(linear.mult, np.int32, kept),
        bias=_array(linear.bias, np.int32, kept),
        shift=linear.shift,
    )


_C_TYPES = {
    np.int8: ctypes.c_int8,
    np.uint8: ctypes.c_uint8,
    np.int16: ctypes.c_int16,
    np.int32: ctypes.c_int32,
}


def _array(values: Int, dtype: Any, kept: list[NDArray[Any]]) -> Pointer:
    """Pointer to the values as a C array, which lives in `kept`."""
    kept.append(np.ascontiguousarray(values, dtype))
    return pointer(kept[-1], _C_TYPES[dtype])
