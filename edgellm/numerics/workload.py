"""How much work a token is: multiplications, from the shape alone."""

from __future__ import annotations

from edgellm.numerics.model import Architecture


def macs(arch: Architecture, position: int) -> int:
    """Multiply-accumulates of one token at `position`: the linear layers, the head, and attention over what came before."""
    layer = arch.width * (arch.qkv_width + arch.attention_width + 3 * arch.ffn)
    return arch.layers * layer + arch.width * arch.vocab + attention_macs(arch, position)


def attention_macs(arch: Architecture, position: int) -> int:
    """Of all layers: scores and weighted values, over `position` + 1 keys."""
    return arch.layers * 2 * arch.attention_width * (position + 1)
