"""The integer ONNX file in ONNX Runtime on any of its providers: caches stay where the provider computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.numerics import layout
from edgellm.numerics.model import Architecture
from edgellm.runtime.backends.stepped import Feed

SLOTS = 32
BLOCK = 8  # neighbouring slots that one call steps, besides one slot and all
BLOCK_COST, ALL_COST = 2, 4  # measured: a call for 8 slots takes as long as 2 for one, that for 32 as 4
ROWS = 64  # tokens of a prompt in one call
SESSION_TOKENS = 256  # fed one by one, they take about as long as the making of a session


@dataclass(frozen=True, slots=True)
class Target:
    """A provider of ONNX Runtime."""

    name: str  # of the back end
    providers: tuple[tuple[str, dict[str, str]], ...]  # the first one that has an operator computes it
    device: str = "cpu"  # ONNX Runtime's name of the memory in which the caches lie

    @property
    def on_host(self) -> bool:
        return self.device == "cpu"


class OrtStepper:
    """The ONNX model in sessions of several sizes on the same caches; see `stepped.Stepper`.

    Neighbouring slots of a cache are the cache of a smaller batch. A cache is bound as input and as output, so that a step
    writes the new position only. A session is made when a step first needs it; that for several tokens of a prompt when so
    many have been fed one by one that it would have been worth it, so that a first answer does not wait for it.
    """

    rows = ROWS

    def __init__(
        self,
        data: bytes,
        arch: Architecture,
        target: Target,
        slots: int = SLOTS,
        logit_step: float | None = None,
    ) -> None:
        self.name, self.arch, self.slots, self.logit_step = target.name, arch, slots, logit_step
        self.copies = target.on_host
        self._data, self._target, self._ort = data, target, runtime()
        self._caches: list[_Cache] | None = _caches(self._ort, arch, target, slots)
        self._tokens = np.zeros(slots, np.int64)  # last fed
        self._fed = np.zeros(slots, np.int64)  # the next position of each slot
        self._logits = np.zeros((slots, arch.vocab), np.int16)
        self._sessions: dict[
            int | None, Any
        ] = {}  # batch size, or None for tokens of one slot -> ONNX Runtime's
        self._batches: dict[tuple[int, int], _Call] = {}  # first slot, size
        self._chunks: dict[int, _Call] = {}  # slot
        self._one_by_one = 0  # tokens of prompts
        self._batch(0, 1)

    def step(self, feeds: Sequence[Feed]) -> None:
        """Feed each; idle slots of the batch go through too and keep their caches."""
        left = [feed for feed in feeds if not self._chunk(feed)]
        while left:
            self._side_by_side([(slot, tokens[0], position) for slot, tokens, position in left])
            left = [Feed(slot, tokens[1:], at + 1) for slot, tokens, at in left if len(tokens) > 1]

    def logits(self, slot: int) -> NDArray[np.int16]:
        """int16 [vocab]."""
        row: NDArray[np.int16] = self._logits[slot]
        return row

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy a prefix. Where caches lie in a device's memory, nobody asks (`copies`)."""
        for cache in self._open():
            cache.array[target, :, :positions] = cache.array[source, :, :positions]
        self._fed[target] = positions

    def close(self) -> None:
        """Free the ONNX Runtime sessions."""
        self._batches.clear()
        self._chunks.clear()
        self._sessions.clear()
        self._caches = None

    def _open(self) -> list[_Cache]:
        if self._caches is None:
            raise BackendFailed("the device is closed: open the model again")
        return self._caches

    def _chunk(self, feed: Feed) -> bool:
        """Feed several tokens of a prompt in one call; False where it has to be done one by one."""
        rows = self.verify(*feed) if len(feed.tokens) > 1 else None
        if rows is None:
            return False
        self._logits[feed.slot] = rows[-1]
        return True

    def verify(self, slot: int, tokens: Sequence[int], position: int) -> NDArray[np.int16] | None:
        """Feed several tokens of a slot in one call: logits int16 [tokens, vocab] behind each, until the next call.

        None, and nothing fed, until the session for it would have been worth making.
        """
        count, caches = len(tokens), self._open()
        if None not in self._sessions and self._one_by_one + count <= SESSION_TOKENS:
            self._one_by_one += count
            return None
        if slot not in self._chunks:
            session = self._session(None)
            self._chunks[slot] = _Call(session, self._target, self.arch, caches, slot, 1, ROWS)
        call = self._chunks[slot]
        call.tokens[:count], call.positions[:count] = tokens, position + np.arange(count)
        rows = call.run(count)
        self._fed[slot] = position + count
        return rows

    def _side_by_side(self, feeds: list[tuple[int, int, int]]) -> None:
        for slot, token, position in feeds:
            self._tokens[slot], self._fed[slot] = token, position
        for first, size in self._plan([slot for slot, _, _ in feeds]):
            call, slots = self._batch(first, size), slice(first, first + size)
            call.tokens[:] = self._tokens[slots]
            # an idle slot writes behind what it was fed, or the same once more where its context is full
            np.minimum(self._fed[slots], self.arch.context - 1, out=call.positions)
            logits = call.run(size)
            for slot, _, position in feeds:
                if first <= slot < first + size:
                    self._logits[slot] = logits[slot - first]
                    self._fed[slot] = position + 1

    def _plan(self, slots: list[int]) -> list[tuple[int, int]]:
        """The cheapest calls that step these slots: (first slot, how many), none twice."""
        if len(slots) == 1:
            return [(slots[0], 1)]
        calls, cost = [], 0
        for first in range(0, self.slots, BLOCK):
            busy = [slot for slot in slots if first <= slot < first + BLOCK]
            if len(busy) > BLOCK_COST and first + BLOCK <= self.slots:
                calls.append((first, BLOCK))
                cost += BLOCK_COST
            else:
                calls += [(slot, 1) for slot in busy]
                cost += len(busy)
        return calls if cost < (ALL_COST if self.slots > BLOCK else BLOCK_COST) else [(0, self.slots)]

    def _batch(self, first: int, size: int) -> _Call:
        caches = self._open()
        if (first, size) not in self._batches:
            session = self._session(size)
            self._batches[first, size] = _Call(session, self._target, self.arch, caches, first, size, size)
        return self._batches[first, size]

    def _session(self, batch: int | None) -> Any:
        if batch not in self._sessions:
            self._sessions[batch] = _session(self._ort, self._data, self._target, batch)
        return self._sessions[batch]


@dataclass(frozen=True, slots=True)
class _Cache:
    """Keys or values of a layer, of all slots: int8 [slots, kv_heads, context, head_dim] in one block of memory."""

    names: tuple[str, str]  # as input and as output
    value: Any  # ONNX Runtime's, which borrows the array's memory where that is the host's
    array: NDArray[np.int8]


class _Call:
    """A session whose inputs and outputs are bound: up to `rows` tokens on the caches of `size` slots from `first` on."""

    def __init__(
        self,
        session: Any,
        target: Target,
        arch: Architecture,
        caches: list[_Cache],
        first: int,
        size: int,
        rows: int,
    ) -> None:
        self.first, self.rows = first, rows
        self.tokens, self.positions = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._logits, self._next = np.zeros((rows, arch.vocab), np.int16), np.zeros(rows, np.int64)
        self._session, self._binding = session, session.io_binding()
        self._kept = caches  # the binding holds addresses
        self._bound = 0 if target.on_host else None  # rows; elsewhere inputs are copied when they are bound
        shape = (size, arch.kv_heads, arch.context, arch.head_dim)
        for cache in caches:
            at = cache.value.data_ptr() + first * (arch.kv_heads * arch.context * arch.head_dim)
            self._binding.bind_input(cache.names[0], target.device, 0, np.int8, shape, at)
            self._binding.bind_output(cache.names[1], target.device, 0, np.int8, shape, at)

    def run(self, count: int) -> NDArray[np.int16]:
        """Feed the first `count` of `tokens` at `positions`: logits int16 [count, vocab], until the next call."""
        try:
            if count != self._bound:
                self._bind(count)
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            raise BackendFailed(f"ONNX Runtime stopped: {error}") from error
        return self._logits[:count]

    def _bind(self, count: int) -> None:
        for name, array in ((layout.TOKEN, self.tokens), (layout.POSITION, self.positions)):
            self._binding.bind_input(name, "cpu", 0, np.int64, (count,), array.ctypes.data)
        shape = (count, self._logits.shape[1])
        self._binding.bind_output(layout.LOGITS, "cpu", 0, np.int16, shape, self._logits.ctypes.data)
        self._binding.bind_output(layout.NEXT_TOKEN, "cpu", 0, np.int64, (count,), self._next.ctypes.data)
        if self._bound is not None:
            self._bound = count


def runtime() -> Any:
    """The package onnxruntime. Raises: BackendUnavailable."""
    try:
        import onnxruntime
    except ImportError:
        raise BackendUnavailable("onnxruntime is not installed: pip install onnxruntime") from None
    return onnxruntime


def _caches(ort: Any, arch: Architecture, target: Target, slots: int) -> list[_Cache]:
    found = []
    for layer in range(arch.layers):
        names = layout.cache_names(layer)
        for pair in zip(names[:2], names[2:], strict=True):
            array = np.zeros((slots, arch.kv_heads, arch.context, arch.head_dim), np.int8)
            value = ort.OrtValue.ortvalue_from_numpy(array, target.device, 0)
            found.append(_Cache(pair, value, array))
    return found


def _session(ort: Any, data: bytes, target: Target, batch: int | None) -> Any:
    """For `batch` tokens, each of its own slot, or, for None, for any number of tokens of one slot."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # two do not help one stream
    options.log_severity_level = 3
    options.add_free_dimension_override_by_name(layout.BATCH, batch or 1)
    if batch:
        options.add_free_dimension_override_by_name(layout.ROWS, batch)
    options.enable_mem_reuse = batch != 1  # one stream is a tenth faster without, and takes little memory
    try:
        return ort.InferenceSession(data, options, providers=list(target.providers))
    except Exception as error:
        raise BackendFailed(f"ONNX Runtime cannot load the model: {error}") from error
