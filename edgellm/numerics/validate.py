"""Is an integer model inside the contract? Every range and bound of docs/numerics.md, "Bounds"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import ModelUnsupported
from edgellm.numerics.model import Architecture, Block, Int, IntegerModel, Linear, Widths

MAX_MULT = 65535
MAX_SHIFT = 31  # the rounding half 2^(shift-1) must fit an int32 bias
MAX_SCALED = 1 << 47  # |acc|*mult + |bias| stays below: one 48-bit DSP accumulator
MAX_SCORE_SHIFT = 16
ROPE_ONE = 8192
WEIGHT_BITS = (2, 8)
ARCHITECTURE_LIMITS = {
    "vocab": (2, 65535),  # a token is 16 bits in hardware, 0xFFFF means "no stop token"
    "width": (1, 16384),
    "layers": (1, 255),
    "heads": (1, 1024),
    "kv_heads": (1, 1024),
    "head_dim": (2, 512),
    "ffn": (1, 16384),
    "context": (1, 65535),
}
NARROW_OR_BYTE = (4, 8)  # widths of activations, keys and values
EMBEDDING_BITS = (2, 8)
MAX_ATTENTION_WIDTH = 16384


def validate(model: IntegerModel) -> None:
    """Raise ModelUnsupported (name, value, limit) at the first thing outside the contract."""
    check_architecture(model.arch)
    check_widths(model.widths)
    for name, (low, high) in numerics_limits(model.widths).items():
        _within(name, getattr(model.numerics, name), low, high)
    ends = -(1 << (model.widths.embedding - 1)), (1 << (model.widths.embedding - 1)) - 1
    _array("embedding", model.embedding, (model.arch.vocab, model.arch.width), *ends)
    if len(model.blocks) != model.arch.layers:
        raise ModelUnsupported(f"blocks are {len(model.blocks)}; the architecture has {model.arch.layers}")
    for name, linear, shape in linears(model):
        check_linear(name, linear, shape)
    _shared_shifts(model.blocks)
    _tables(model)


def numerics_limits(widths: Widths) -> dict[str, tuple[int, int]]:
    """Least and greatest value of each field of `Numerics`."""
    return {
        "norm_shift": (1, 28 - widths.activation),
        "score_mult": (1, MAX_MULT),
        "score_shift": (0, MAX_SCORE_SHIFT),
        "glu_shift": (1, 15),
        "embed_shift": (0, 16 - widths.embedding),  # the residual stream has 16 bits
    }


def check_widths(widths: Widths) -> None:
    """Raise ModelUnsupported unless every width is one of the contract's."""
    for name in ("activation", "kv", "glu"):
        if (bits := getattr(widths, name)) not in NARROW_OR_BYTE:
            raise ModelUnsupported(f"widths.{name} is {bits}; the contract allows 4 or 8")
    _within("widths.embedding", widths.embedding, *EMBEDDING_BITS)


def check_architecture(arch: Architecture) -> None:
    """Raise ModelUnsupported unless every dimension is in range and they fit together."""
    for name, (low, high) in ARCHITECTURE_LIMITS.items():
        _within(name, getattr(arch, name), low, high)
    if arch.heads % arch.kv_heads:
        raise ModelUnsupported(f"heads is {arch.heads}; it must be a multiple of kv_heads, {arch.kv_heads}")
    if arch.head_dim % 2:
        raise ModelUnsupported(f"head_dim is {arch.head_dim}; RoPE rotates pairs, so it must be even")
    _within("heads * head_dim", arch.attention_width, 1, MAX_ATTENTION_WIDTH)


def linears(model: IntegerModel) -> Iterator[tuple[str, Linear, tuple[int, int]]]:
    """(name as in the ONNX file, layer, [K, N]) of every linear layer, head last."""
    a = model.arch
    for index, block in enumerate(model.blocks):
        yield f"block{index}.qkv", block.qkv, (a.width, a.qkv_width)
        yield f"block{index}.attn_out", block.attn_out, (a.attention_width, a.width)
        yield f"block{index}.gate_up", block.gate_up, (a.width, 2 * a.ffn)
        yield f"block{index}.down", block.down, (a.ffn, a.width)
    yield "head", model.head, (a.width, a.vocab)


def check_linear(name: str, linear: Linear, shape: tuple[int, int]) -> None:
    """Raise ModelUnsupported unless the layer's arrays are in range and no accumulator can overflow."""
    _within(f"{name}.weight_bits", linear.weight_bits, *WEIGHT_BITS)
    _within(f"{name}.shift", linear.shift, 1, MAX_SHIFT)
    limit = (1 << (linear.weight_bits - 1)) - 1
    _array(f"{name}.weight", linear.weight, shape, -limit, limit)
    _array(f"{name}.mult", linear.mult, (shape[1],), 1, MAX_MULT)
    _array(f"{name}.bias", linear.bias, (shape[1],), -(1 << 31), (1 << 31) - 1)
    scaled = largest_scaled(linear)
    worst = int(np.argmax(scaled))
    if scaled[worst] >= MAX_SCALED:
        raise ModelUnsupported(
            f"{name} channel {worst}: |acc|*mult + |bias| can reach {scaled[worst]}; the limit is 2^47"
        )


def largest_accumulator(weight: Int) -> NDArray[np.int64]:
    """Largest |acc| of each output channel over all int8 inputs: weight [K, N] to int64 [N]."""
    total: NDArray[np.int64] = np.abs(weight.astype(np.int64)).sum(axis=0)
    return total * 128


def largest_scaled(linear: Linear) -> NDArray[np.int64]:
    """Bound on |acc * mult + bias| of each output channel: int64 [N]."""
    widest = largest_accumulator(linear.weight) * linear.mult.astype(np.int64)
    return widest + np.abs(linear.bias.astype(np.int64))


def _tables(model: IntegerModel) -> None:
    a = model.arch
    _array("exp_table", model.exp_table, (256,), 0, 255)
    for index, value in ((0, 255), (255, 0)):
        if model.exp_table[index] != value:
            raise ModelUnsupported(f"exp_table[{index}] is {model.exp_table[index]}; it must be {value}")
    _array("silu_table", model.silu_table, (256,), -128, 127)
    shape = (a.context, a.head_dim // 2)
    _array("rope_cos", model.rope_cos, shape, -ROPE_ONE, ROPE_ONE)
    _array("rope_sin", model.rope_sin, shape, -ROPE_ONE, ROPE_ONE)


def _shared_shifts(blocks: tuple[Block, ...]) -> None:
    for name in ("qkv", "attn_out", "gate_up", "down"):
        first: Linear = getattr(blocks[0], name)
        for index, block in enumerate(blocks):
            linear: Linear = getattr(block, name)
            if linear.shift != first.shift:
                raise ModelUnsupported(
                    f"block{index}.{name}.shift is {linear.shift}; all layers share one, and block0 has {first.shift}"
                )


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ModelUnsupported(f"{name} is {value}; the contract allows {low}..{high}")


def _array(name: str, array: NDArray[Any], shape: tuple[int, ...], low: int, high: int) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise ModelUnsupported(f"{name} holds {array.dtype}; the contract allows integers only")
    if array.shape != shape:
        raise ModelUnsupported(f"{name} has shape {list(array.shape)}; the architecture needs {list(shape)}")
    outside = np.argwhere((array < low) | (array > high))
    if outside.size:
        index = tuple(int(i) for i in outside[0])
        raise ModelUnsupported(f"{name}{list(index)} is {array[index]}; the contract allows {low}..{high}")
