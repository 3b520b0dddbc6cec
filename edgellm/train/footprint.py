"""What widths cost: bits that must be kept, and bit operations of a token."""

from __future__ import annotations

from collections.abc import Iterator

from edgellm.numerics.layout import LINEARS, linear_shapes
from edgellm.numerics.model import Architecture
from edgellm.train.bits import HEAD, Bits


def layers(arch: Architecture, bits: Bits) -> Iterator[tuple[str, int, int]]:
    """(kind, weights, width as stored) of every linear layer; an accelerator stores all layers of a kind at the widest."""
    for kind in LINEARS:
        inputs, outputs = linear_shapes(arch)[kind]
        widths = [bits.of(kind, layer) for layer in range(1 if kind == HEAD else arch.layers)]
        for _ in widths:
            yield kind, inputs * outputs, max(widths)


def memory_bits(arch: Architecture, bits: Bits) -> int:
    """Bits on chip: weights at the widest of their kind, the embedding, keys and values of one sequence."""
    weights = sum(count * width for _, count, width in layers(arch, bits))
    cache = 2 * arch.layers * arch.context * arch.kv_heads * arch.head_dim * bits.kv
    return weights + arch.vocab * arch.width * bits.embedding + cache


def bit_operations(arch: Architecture, bits: Bits) -> int:
    """Products of operand widths (Baskin et al. 2021, "UNIQ"), summed over the multiplications of a token at the end of the
    context: weights times activations; scores (8-bit queries) and means (8-bit weights) times the cache.
    """
    weights = sum(
        count * width * (bits.glu if kind == "down" else bits.activation)
        for kind, count, width in layers(arch, bits)
    )
    attention = 2 * arch.layers * arch.context * arch.attention_width * 8 * bits.kv
    return weights + attention


def weight_bits(arch: Architecture, bits: Bits) -> int:
    """Bits of all weights, each layer at its own width, and of the embedding: the information a file would hold."""
    own = sum(
        inputs * outputs * bits.of(kind, layer)
        for kind, (inputs, outputs) in linear_shapes(arch).items()
        for layer in range(1 if kind == HEAD else arch.layers)
    )
    return own + arch.vocab * arch.width * bits.embedding


COSTS = {"memory": memory_bits, "operations": bit_operations, "weights": weight_bits}
