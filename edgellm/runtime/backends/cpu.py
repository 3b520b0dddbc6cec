"""Back end `cpu`: the integer ONNX file in ONNX Runtime, one thread, caches bound in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendFailed, BackendUnavailable
from edgellm.numerics import layout, onnxfile
from edgellm.numerics.generation import Step, check_request, generate
from edgellm.numerics.model import Architecture
from edgellm.numerics.sampling import GREEDY, Sampling, chooser
from edgellm.runtime.backends import lockstep
from edgellm.runtime.backends.base import MODEL_FILE, Session

PROVIDER = "CPUExecutionProvider"
BATCH = 32  # measured: a step of 32 slots takes as long as 4 of one


class Decoder:
    """The ONNX model of `batch` slots: one token of each a step.

    A cache is bound as input and as output, so that a step writes the new position only. Positions must be
    fed in order; starting again at 0 needs no clearing, since nothing behind the position is read.
    """

    def __init__(
        self, data: bytes, arch: Architecture, batch: int = 1, logit_step: float | None = None
    ) -> None:
        self._ort = ort = _onnxruntime()
        self.data, self.arch, self.batch, self.logit_step = data, arch, batch, logit_step
        self._session = _session(ort, data, batch)
        self._binding = self._session.io_binding()
        self._token = self._input(layout.TOKEN)
        self._position = self._input(layout.POSITION)
        self._logits = self._output(layout.LOGITS, np.zeros((batch, arch.vocab), np.int16))
        self._next = self._output(layout.NEXT_TOKEN, np.zeros(batch, np.int64))
        shape = (batch, arch.kv_heads, arch.context, arch.head_dim)
        self._caches: list[Any] = []  # an OrtValue borrows its array, and the binding does not keep it alive
        for layer in range(arch.layers):
            names = layout.cache_names(layer)
            for before, after in zip(names[:2], names[2:], strict=True):
                cache = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.int8))
                self._caches.append(cache)
                self._binding.bind_ortvalue_input(before, cache)
                self._binding.bind_ortvalue_output(after, cache)

    def step(self, tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Feed one token per slot, int64 [batch] each: the most likely next tokens int64 [batch]."""
        try:
            self._token.update_inplace(tokens)
            self._position.update_inplace(positions)
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            raise BackendFailed(f"ONNX Runtime stopped: {error}") from error
        result: NDArray[np.int64] = self._next.numpy()
        return result

    def logits(self) -> NDArray[np.int16]:
        """Logits of the last step: int16 [batch, vocab], until the next step."""
        result: NDArray[np.int16] = self._logits.numpy()
        return result

    def _input(self, name: str) -> Any:
        value = self._ort.OrtValue.ortvalue_from_numpy(np.zeros(self.batch, np.int64))
        self._binding.bind_ortvalue_input(name, value)
        return value

    def _output(self, name: str, array: NDArray[Any]) -> Any:
        value = self._ort.OrtValue.ortvalue_from_numpy(array)
        self._binding.bind_ortvalue_output(name, value)
        return value


class CpuSession:
    """One slot of a `Decoder`; see `base.Session`."""

    name = "cpu"
    batch = BATCH

    def __init__(self, decoder: Decoder) -> None:
        self._decoder: Decoder | None = decoder
        self._wide: Decoder | None = None  # the same model with many slots, made when first needed
        self._token = np.zeros(1, np.int64)
        self._position = np.zeros(1, np.int64)
        self.finish_reason = ""
        self.timings: Mapping[str, float] = {}

    def stream(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: frozenset[int],
        sampling: Sampling = GREEDY,
    ) -> Iterator[int]:
        """Tokens of the answer."""
        arch = self._open().arch
        check_request(arch, prompt_ids, max_tokens)
        step = self._step if sampling.temperature == 0 else self._sampled(sampling)
        self.finish_reason = yield from generate(step, arch.context, prompt_ids, max_tokens, stop_ids)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.int16]]:
        """Logits int16 [time, vocab] of each sequence, many side by side."""
        decoder = self._checked(sequences, 1)
        return [seen for part in _parts(sequences) for seen in lockstep.read(decoder, part)]

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
    ) -> list[list[int]]:
        """The greedy answer to each prompt, many side by side."""
        decoder = self._checked(prompts, max_tokens)
        parts = (lockstep.answer(decoder, part, max_tokens, stop_ids) for part in _parts(prompts))
        return [tokens for part in parts for tokens in part]

    def close(self) -> None:
        """Free the ONNX Runtime sessions."""
        self._decoder = self._wide = None

    def _checked(self, sequences: Sequence[Sequence[int]], max_tokens: int) -> Decoder:
        """The decoder of many slots, if it can take every one of the sequences."""
        decoder = self._open()
        for ids in sequences:
            check_request(decoder.arch, ids, max_tokens)
        self._wide = self._wide or Decoder(decoder.data, decoder.arch, BATCH)
        return self._wide

    def _open(self) -> Decoder:
        if self._decoder is None:
            raise BackendFailed("the session is closed: open the model again")
        return self._decoder

    def _sampled(self, sampling: Sampling) -> Step:
        decoder = self._open()
        choose = chooser(sampling, decoder.logit_step)

        def step(token: int, position: int) -> int:
            self._step(token, position)
            return choose(decoder.logits()[0], position)

        return step

    def _step(self, token: int, position: int) -> int:
        self._token[0], self._position[0] = token, position
        return int(self._open().step(self._token, self._position)[0])


def open_session(folder: Path) -> Session:
    """A session on a model folder. Raises BackendUnavailable without ONNX Runtime."""
    _onnxruntime()
    path = folder / MODEL_FILE
    model = onnxfile.load(path)
    return CpuSession(Decoder(path.read_bytes(), model.arch, logit_step=model.logit_step))


def _parts(sequences: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    return (sequences[start : start + BATCH] for start in range(0, len(sequences), BATCH))


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BackendUnavailable("onnxruntime is not installed: pip install onnxruntime") from None
    return onnxruntime


def _session(ort: Any, data: bytes, batch: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # two do not help one stream
    options.log_severity_level = 3
    options.add_free_dimension_override_by_name(layout.BATCH, batch)
    try:
        return ort.InferenceSession(data, options, providers=[PROVIDER])
    except Exception as error:
        raise BackendFailed(f"ONNX Runtime cannot load the model: {error}") from error
