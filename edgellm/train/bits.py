"""Widths of everything in a model, as a recipe states them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgellm.numerics.layout import LINEARS
from edgellm.numerics.model import Widths
from edgellm.numerics.validate import EMBEDDING_BITS, NARROW_OR_BYTE, WEIGHT_BITS

BLOCK_KINDS = LINEARS[:-1]
HEAD = LINEARS[-1]
MULT_BITS = 8  # of a multiplier per channel; more where the layers of a kind differ in width
MOST_MULT_BITS = 14


@dataclass(frozen=True, slots=True)
class Bits:
    """Widths of the integer model; the residual stream and the logits always have 16 bits.

    2 is ternary for weights. `overrides` are weight widths of a kind (`down`) or of a kind in one layer
    (`layers.0.qkv`), which goes first.
    """

    weight: int = 4  # 2..8, all linear layers of the blocks
    head: int = 4  # 2..8
    embedding: int = 8  # 2..8
    activation: int = 8  # 4 or 8: what enters qkv, attn_out, gate_up and head
    glu: int = 8  # 4 or 8: what enters down; its heavy tails need the steps most
    kv: int = 8  # 4 or 8: keys and values in the cache
    overrides: Mapping[str, int] = field(default_factory=dict)

    def of(self, kind: str, layer: int) -> int:
        """Weight width of a linear layer; `kind` is one of `numerics.layout.LINEARS`."""
        if kind == HEAD:
            return self.head
        return self.overrides.get(f"layers.{layer}.{kind}", self.overrides.get(kind, self.weight))

    def mult_bits(self, kind: str, layers: int) -> int:
        """Width of the multipliers of a kind.

        Its layers share one shift: where their weights differ in width, the widest keep 8 bits of scale beside the narrowest.
        """
        widths = [self.of(kind, layer) for layer in range(1 if kind == HEAD else layers)]
        return min(MULT_BITS + max(widths) - min(widths), MOST_MULT_BITS)

    @property
    def widths(self) -> Widths:
        """The part of it that is no weight of a linear layer."""
        return Widths(self.activation, self.kv, self.embedding, self.glu)


def problems(bits: Bits, layers: int) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it) of everything outside the contract, for a model of `layers` layers."""
    for name in ("weight", "head"):
        if not WEIGHT_BITS[0] <= getattr(bits, name) <= WEIGHT_BITS[1]:
            yield name, f"must be 2 to 8, not {getattr(bits, name)}"
    if not EMBEDDING_BITS[0] <= bits.embedding <= EMBEDDING_BITS[1]:
        yield "embedding", f"must be 2 to 8, not {bits.embedding}"
    for name in ("activation", "glu", "kv"):
        if getattr(bits, name) not in NARROW_OR_BYTE:
            yield name, f"must be 4 or 8, not {getattr(bits, name)}"
    known = {*BLOCK_KINDS, *(f"layers.{layer}.{kind}" for layer in range(layers) for kind in BLOCK_KINDS)}
    for name, width in bits.overrides.items():
        if name not in known:
            kinds = ", ".join(BLOCK_KINDS)
            yield (
                f"overrides.{name}",
                f"is no linear layer: {kinds}, or layers.0.KIND to layers.{layers - 1}.KIND",
            )
        elif not WEIGHT_BITS[0] <= width <= WEIGHT_BITS[1]:
            yield f"overrides.{name}", f"must be 2 to 8, not {width}"
