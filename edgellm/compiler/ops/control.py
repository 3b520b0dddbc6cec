"""What moves tokens around: fork, loop over the layers, sequencer."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any

import numpy as np

from edgellm.compiler.ops import tags
from edgellm.compiler.ops.base import (
    BLOCK_TAG,
    BLOCK_TAG_BYTES,
    SELECTOR,
    TAG,
    TOKEN,
    TOKEN_BYTES,
    WORD,
    WORD_BYTES,
    Block,
    Cost,
    Int64,
    Stream,
    register,
)


@register
class StreamFork(Block):
    """One stream copied to K consumers, each at its own pace."""

    MODULE = "stream_fork"
    ATTRIBUTES = {
        "K": ("i", True, 0),
        "N": ("i", True, 0),
        "PE": ("i", True, 0),
        "dataType": ("s", True, ""),
    }
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), self.attr("dataType")),)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return self.stream_inputs() * int(self.attr("K"))

    def parameters(self) -> dict[str, int]:
        return {"K": self.attr("K"), "W": self.get_instream_width_padded(0)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        return inputs * int(self.attr("K"))

    def module_pins(self) -> list[str]:
        """The module's K outputs are one packed port."""
        names = [f"out{k}" for k in reversed(range(self.attr("K")))]
        packed = {s: ", ".join(f"{name}_V_{s}" for name in names) for s in ("TDATA", "TVALID", "TREADY")}
        return [f".out_V_{s}({{{wires}}})" for s, wires in packed.items()]

    def latency(self) -> int:
        return 1

    def cost(self) -> Cost:
        copies, width = self.attr("K"), self.get_instream_width_padded(0)
        return Cost(lut=10 + copies * (8 + width // 2), ff=copies * (2 * width + 4))


@register
class LoopControl(Block):
    """Sends every token through the block once per layer.

    Streams: residual, tag of a new token, residual back from the block; residual and block tag and selector to
    the block, final residual, final tag.
    """

    MODULE = "loop_control"
    ATTRIBUTES = {name: ("i", True, 0) for name in ("N", "PE", "Layers", "Tokens")}
    FOLDING = ("PE",)

    def residual(self) -> Stream:
        return Stream(self.attr("N"), self.attr("PE"), "INT16")

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (self.residual(), TAG, self.residual())

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (self.residual(), BLOCK_TAG, SELECTOR, self.residual(), TAG)

    def parameters(self) -> dict[str, int]:
        stream = self.residual()
        return {
            "LAYERS": self.attr("Layers"),
            "TOKENS": self.attr("Tokens"),
            "BEATS": stream.beats,
            "W": stream.lanes * stream.bits,
        }

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        """One pass, which is all of a token's way when the model has one layer."""
        new, tag, back = inputs
        block_tag = tags.record(tags.block_tag(tags.number(tag), 0), BLOCK_TAG_BYTES)
        return new, block_tag, np.zeros(1, np.int64), back, tag

    def interval(self) -> int:
        return self.residual().beats + 1

    def latency(self) -> int:
        return 5

    def cost(self) -> Cost:
        width = self.residual().lanes * 16
        ring = self.attr("Tokens") * self.residual().beats
        return Cost(lut=420 + 3 * width, ff=520 + 6 * width, bram18=max(1, -(-width // 36)) * -(-ring // 512))


@register
class Sequencer(Block):
    """Command words in, event words out; tokens to the embedding, generated tokens back."""

    MODULE = "sequencer"
    ATTRIBUTES = {name: ("i", True, 0) for name in ("Slots", "Context", "Vocab")}

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (WORD, TOKEN)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (TOKEN, WORD)

    def parameters(self) -> dict[str, int]:
        return {name.upper(): self.attr(name) for name in ("Slots", "Context", "Vocab")}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        """The shortest run: a prompt of one token at position 0 of slot 0, and its answer's first token."""
        word, back = (tags.number(record) for record in inputs)
        token = tags.token(tags.tag(0, flags=tags.LOGITS), word & 0xFFFF)
        event = tags.index(back) | tags.slot(back) << 16
        return tags.record(token, TOKEN_BYTES), tags.record(event, WORD_BYTES)

    def interval(self) -> int:
        return 2

    def latency(self) -> int:
        return 5

    def cost(self) -> Cost:
        return Cost(lut=700 + 60 * self.attr("Slots"), ff=600 + 90 * self.attr("Slots"))
