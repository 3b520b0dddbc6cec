"""Cycles of the blocks as functions of their folding, as their RTL documents them (and tests measure them)."""

from __future__ import annotations

from math import ceil

ROOT_DIGITS = 25  # of RMSNorm's inverse root
DIGITS_A_CYCLE = 2
ROOT_CYCLES = ceil(ROOT_DIGITS / DIGITS_A_CYCLE)
ATTENTION_LEAST = 15  # last value in to first result out, however late the values come
SAMPLER = 25  # logits in to scores out
TAP = 1
TERNARY_SAVES = 2  # cycles of latency that a matrix unit without DSPs does not have
PIPELINE = 4  # requantise, RoPE, SiLU gate: beat in to result out


def levels(lanes: int) -> int:
    """Registered stages of an adder tree that adds four a stage."""
    return ceil((lanes - 1).bit_length() / 2)


def matmul_interval(rows: int, cols: int, pe: int, simd: int) -> int:
    return (rows // simd) * (cols // pe)


def matmul_latency(rows: int, cols: int, pe: int, simd: int) -> int:
    """Last input beat to last output beat: all neuron folds but what ran while the input came in, and the pipeline."""
    first_fold = rows // simd
    return matmul_interval(rows, cols, pe, simd) - first_fold + 10 + max(1, (simd - 1).bit_length())


def norm_interval(n: int, pe: int) -> int:
    return max(n // pe, ROOT_CYCLES + 1)


def norm_latency(n: int, pe: int) -> int:
    """Last input beat to last output beat."""
    return ROOT_CYCLES + levels(pe) + 6 + n // pe


def _attention_rows(position: int, pt: int) -> int:
    """Memory rows of K and V that hold the positions up to `position`."""
    return ceil((position + 1) / pt)


def attention_interval(heads: int, kv_heads: int, head_dim: int, pt: int, om: int, position: int) -> int:
    rows = _attention_rows(position, pt)
    least = max(11, heads // kv_heads * head_dim // om + 1)
    one_head = max(rows, least, ceil((rows + least + levels(pt) + 5) / 2))
    return max(kv_heads * one_head, heads + 2 * kv_heads + 1)


def attention_first(
    heads: int, kv_heads: int, head_dim: int, pt: int, om: int, position: int, period: int
) -> int:
    """Last input beat to first output beat, when the heads come in every `period` cycles."""
    rows = _attention_rows(position, pt)
    from_first_key = 22 + levels(head_dim) + levels(pt) + 2 * rows + head_dim // om
    return max(ATTENTION_LEAST, from_first_key - (2 * kv_heads - 1) * period)


def attention_span(heads: int, kv_heads: int, head_dim: int, pt: int, om: int, position: int) -> int:
    """First output beat to last output beat."""
    per_head = attention_interval(heads, kv_heads, head_dim, pt, om, position) // kv_heads
    return (kv_heads - 1) * per_head + (heads // kv_heads - 1) * (head_dim // om)


def argmax_latency(pe: int) -> int:
    return (pe - 1).bit_length() + 3
