"""What moves tokens around: fork, loop over the layers, sequencer."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from edgellm.compiler import costs
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops import tags
from edgellm.compiler.ops.base import (
    BLOCK_TAG,
    BLOCK_TAG_BYTES,
    REQUEST,
    REQUEST_BYTES,
    SELECTOR,
    SIGNALS,
    TAG,
    TOKEN,
    TOKEN_BYTES,
    WORD,
    WORD_BYTES,
    Attributes,
    Block,
    Int64,
    Stream,
    integers,
    register,
)


@register
class StreamFork(Block):
    """One stream copied to K consumers, each at its own pace."""

    MODULE = "stream_fork"
    ATTRIBUTES: ClassVar[Attributes] = {**integers("K", "N", "PE"), "dataType": ("s", True, "")}
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), self.get_nodeattr("dataType")),)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return self.stream_inputs() * self.attr("K")

    def parameters(self) -> dict[str, int | str]:
        return {"K": self.attr("K"), "W": self.get_instream_width_padded(0)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        return inputs * self.attr("K")

    def stream_pins(self) -> list[str]:
        """The module's K outputs are one packed port."""
        names = [f"out{k}" for k in reversed(range(self.attr("K")))]
        packed = [f".out_V_{s}({{{', '.join(f'{name}_V_{s}' for name in names)}}})" for s in SIGNALS]
        return [*(f".in0_V_{s}(in0_V_{s})" for s in SIGNALS), *packed]

    def latency(self) -> int:
        return 1

    def cost(self, fpgapart: str) -> Cost:
        return costs.fork(self.attr("K"), self.get_instream_width_padded(0))


@register
class LoopControl(Block):
    """Sends every token through the block once per layer.

    Streams: residual, tag of a new token, residual back from the block; residual and block tag and selector to
    the block, final residual, final tag.
    """

    MODULE = "loop_control"
    ATTRIBUTES: ClassVar[Attributes] = integers("N", "PE", "Layers", "Tokens")
    FOLDING = ("PE",)

    def residual(self) -> Stream:
        return Stream(self.attr("N"), self.attr("PE"), "INT16")

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (self.residual(), TAG, self.residual())

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (self.residual(), BLOCK_TAG, SELECTOR, self.residual(), TAG)

    def parameters(self) -> dict[str, int | str]:
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

    def cost(self, fpgapart: str) -> Cost:
        stream = self.residual()
        return costs.loop_control(self.attr("Tokens"), stream.beats, stream.lanes * stream.bits)


@register
class Sequencer(Block):
    """Command words in, event words out; tokens to the embedding, generated tokens back, sampling requests beside."""

    MODULE = "sequencer"
    ATTRIBUTES: ClassVar[Attributes] = integers("Slots", "Context", "Vocab")

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (WORD, TOKEN)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (TOKEN, WORD, REQUEST)

    def parameters(self) -> dict[str, int | str]:
        return {name.upper(): self.attr(name) for name in ("Slots", "Context", "Vocab")}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        """The shortest run: a prompt of one token at position 0 of slot 0, and its answer's first token."""
        word, back = (tags.number(record) for record in inputs)
        token = tags.token(tags.tag(0, flags=tags.HEAD), word & 0xFFFF)
        event = tags.index(back) | tags.slot(back) << 16
        greedy = tags.record(0, REQUEST_BYTES)
        return tags.record(token, TOKEN_BYTES), tags.record(event, WORD_BYTES), greedy

    def interval(self) -> int:
        return 2

    def latency(self) -> int:
        return 5

    def cost(self, fpgapart: str) -> Cost:
        return costs.sequencer(self.attr("Slots"))
