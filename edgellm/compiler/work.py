"""What a node multiplies for a token, and how much of it the folding lets it do in a cycle: the roofline's numbers."""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.numerics.model import Architecture


@dataclass(frozen=True, slots=True)
class Work:
    """Multiply-accumulates (MACs) of the model's matrices and of attention; what scales, rounds or rotates is left out."""

    vectors: int  # a token sends through the node
    macs: int  # of one vector
    macs_per_key: int  # more of one vector for every key that it sees
    macs_per_cycle: int  # at most
    bits_per_cycle: int  # read from the node's weight, key or value memories to keep its multipliers busy


def linear(rows: int, cols: int, sets: int, pe: int, simd: int, weight_bits: int) -> Work:
    """A matrix unit with one weight set for each time that a token passes; every weight is read for every vector."""
    return Work(sets, rows * cols, 0, pe * simd, pe * simd * weight_bits)


def attention(arch: Architecture, positions: int, kv_bits: int) -> Work:
    """Scores and weighted values of `positions` keys a cycle; a key and a value serve a whole group of heads."""
    lanes = positions * arch.head_dim
    group = arch.heads // arch.kv_heads
    return Work(arch.layers, 0, 2 * arch.attention_width, 2 * group * lanes, 2 * lanes * kv_bits)
