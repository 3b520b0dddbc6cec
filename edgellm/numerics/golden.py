"""The golden model: the judge of every other back end. One token at a time, plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics import ops
from edgellm.numerics.generation import FinishReason, check_request, generate
from edgellm.numerics.model import Block, IntegerModel, Linear
from edgellm.numerics.sampling import GREEDY, Sampling, chooser

Tap = Callable[[str, "int | None", NDArray[Any]], None]


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of one slot, both [layers, kv_heads, context, head_dim] in int8."""

    keys: NDArray[np.int8]
    values: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer's tokens (without the stop token) and why it ended."""

    tokens: list[int]
    finish_reason: FinishReason


class GoldenModel:
    """An integer model that runs exactly as docs/numerics.md says."""

    def __init__(self, model: IntegerModel) -> None:
        self.model = model
        self.arch = model.arch

    def new_cache(self) -> KVCache:
        """An empty cache of one slot."""
        a = self.arch
        shape = (a.layers, a.kv_heads, a.context, a.head_dim)
        return KVCache(np.zeros(shape, np.int8), np.zeros(shape, np.int8))

    def step(self, cache: KVCache, token: int, position: int, tap: Tap | None = None) -> NDArray[np.int16]:
        """Feed one token at one position: logits int16 [vocab].

        Positions 0..position-1 must be in the cache. `tap(name, layer or None, tensor)` sees every tensor
        of docs/numerics.md, "Tensors", as it is made.
        """
        seen: Tap = tap if tap is not None else _ignore
        residual = ops.embed(self.model.embedding, token, self.model.numerics.embed_shift)
        seen("embed", None, residual)
        for layer, block in enumerate(self.model.blocks):
            residual = self._attention(block, layer, cache, residual, position, seen)
            residual = self._feed_forward(block, layer, residual, seen)
        return self._head(residual, seen)

    def generate(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        sampling: Sampling = GREEDY,
    ) -> Generation:
        """Answer to a prompt. Raises EmptyPrompt, PromptTooLong, UsageError or ModelUnsupported."""
        stream = self.stream(prompt_ids, max_tokens, stop_ids, sampling)
        tokens: list[int] = []
        while True:
            try:
                tokens.append(next(stream))
            except StopIteration as end:
                return Generation(tokens, end.value)

    def stream(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        sampling: Sampling = GREEDY,
    ) -> Generator[int, None, FinishReason]:
        """The same, token by token; the generator's return value is the finish reason."""
        check_request(self.arch, prompt_ids, max_tokens)
        cache, choose = self.new_cache(), chooser(sampling, self.model.logit_step)

        def step(token: int, position: int) -> int:
            return choose(self.step(cache, token, position), position)

        return generate(step, self.arch.context, prompt_ids, max_tokens, stop_ids)

    def _attention(
        self, block: Block, layer: int, cache: KVCache, residual: NDArray[np.int16], position: int, seen: Tap
    ) -> NDArray[np.int16]:
        a, num, model = self.arch, self.model.numerics, self.model
        normed = ops.rms_norm(residual, num.norm_shift, model.widths.activation)
        seen("attn_norm", layer, normed)
        qkv = _linear(block.qkv, normed, "qkv", layer, seen)
        cos, sin = model.rope_cos[position], model.rope_sin[position]
        roped = ops.rope_qkv(qkv, a.heads + a.kv_heads, a.head_dim, cos, sin, model.widths.kv)
        seen("rope", layer, roped)

        heads = roped.reshape(-1, a.head_dim)
        cache.keys[layer, :, position] = heads[a.heads : a.heads + a.kv_heads]
        cache.values[layer, :, position] = heads[a.heads + a.kv_heads :]
        keys, values = cache.keys[layer, :, : position + 1], cache.values[layer, :, : position + 1]
        mixed = ops.attention(
            heads[: a.heads],
            keys,
            values,
            model.exp_table,
            num.score_mult,
            num.score_shift,
            model.widths,
        )
        seen("attention", layer, mixed)
        return _residual(block.attn_out, mixed, residual, ("attn_out_acc", "attn_residual"), layer, seen)

    def _feed_forward(
        self, block: Block, layer: int, residual: NDArray[np.int16], seen: Tap
    ) -> NDArray[np.int16]:
        widths = self.model.widths
        normed = ops.rms_norm(residual, self.model.numerics.norm_shift, widths.activation)
        seen("ffn_norm", layer, normed)
        gate_up = _linear(block.gate_up, normed, "gate_up", layer, seen)
        hidden = ops.silu_gate(gate_up, self.model.silu_table, self.model.numerics.glu_shift, widths.glu)
        seen("glu", layer, hidden)
        return _residual(block.down, hidden, residual, ("down_acc", "ffn_residual"), layer, seen)

    def _head(self, residual: NDArray[np.int16], seen: Tap) -> NDArray[np.int16]:
        head = self.model.head
        normed = ops.rms_norm(residual, self.model.numerics.norm_shift, self.model.widths.activation)
        seen("final_norm", None, normed)
        acc = ops.accumulate(normed, head.weight)
        seen("head_acc", None, acc)
        result = ops.logits(acc, head.mult, head.bias, head.shift)
        seen("logits", None, result)
        seen("argmax", None, np.array([ops.argmax(result)], np.int64))
        return result


def _linear(lin: Linear, x: NDArray[np.int8], name: str, layer: int, seen: Tap) -> NDArray[np.int8]:
    acc = ops.accumulate(x, lin.weight)
    seen(f"{name}_acc", layer, acc)
    y = ops.requantise(acc, lin.mult, lin.bias, lin.shift)
    seen(name, layer, y)
    return y


def _residual(
    lin: Linear,
    x: NDArray[np.int8],
    residual: NDArray[np.int16],
    names: tuple[str, str],
    layer: int,
    seen: Tap,
) -> NDArray[np.int16]:
    acc = ops.accumulate(x, lin.weight)
    seen(names[0], layer, acc)
    y = ops.add_residual(acc, lin.mult, lin.bias, lin.shift, residual)
    seen(names[1], layer, y)
    return y


def _ignore(name: str, layer: int | None, tensor: NDArray[Any]) -> None:
    """The tap of someone who does not look."""
