"""From logits to the chosen token: a tap for the host, seeded noise, the largest score."""

# mypy: disallow-subclassing-any=False, disallow-any-unimported=False
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost
from edgellm.compiler.ops import tags
from edgellm.compiler.ops.base import (
    REQUEST,
    TAG,
    TOKEN,
    TOKEN_BYTES,
    Attributes,
    Block,
    Int64,
    Stream,
    Table,
    integers,
    register,
)
from edgellm.numerics import ops, sampling
from edgellm.sim import streams

NARROWEST_SHOWN = 32  # bits of the host's stream: its first beat is a tag


@register
class LogitsTap(Block):
    """Logits and tag on their way; to the host too, the tag first, where the tag's DUMP flag is set."""

    MODULE = "logits_tap"
    ATTRIBUTES: ClassVar[Attributes] = integers("N", "PE")
    FOLDING = ("PE",)

    def logits(self) -> Stream:
        return Stream(self.attr("N"), self.attr("PE"), "INT16")

    def shown(self) -> Stream:
        """Beats of the tag and of the logits, as bytes."""
        lanes = max(NARROWEST_SHOWN, self.attr("PE") * 16) // 8
        return Stream((self.logits().beats + 1) * lanes, lanes, "UINT8")

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (self.logits(), TAG)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (self.logits(), TAG, self.shown())

    def parameters(self) -> dict[str, int | str]:
        return {"N": self.attr("N"), "PE": self.attr("PE")}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        """All three outputs; the last one only appears where the tag says so."""
        logits, tag = inputs
        lanes = self.shown().lanes
        rows = streams.pack(logits.reshape(-1, self.attr("PE")), 16)
        header = streams.pack(tag.reshape(1, -1), 8)
        shown = np.concatenate(
            [np.pad(part, ((0, 0), (0, lanes - part.shape[1]))) for part in (header, rows)]
        )
        return logits, tag, shown.reshape(-1)

    def interval(self) -> int:
        return self.logits().beats + 1

    def latency(self) -> int:
        return 1

    def cost(self, fpgapart: str) -> Cost:
        return costs.logits_tap(self.attr("PE"))


@register
class Sampler(Block):
    """Adds Gumbel noise of a seed, a position and a temperature to logits (docs/numerics.md, "Sampling")."""

    MODULE = "sampler"
    ATTRIBUTES: ClassVar[Attributes] = integers("N", "PE", "StepBits")
    FOLDING = ("PE",)

    def shift(self) -> int:
        return sampling.shift_of(self.attr("StepBits"))

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), "INT16"), REQUEST)

    def stream_outputs(self) -> tuple[Stream, ...]:
        bits = sampling.score_bits(self.attr("StepBits"))
        return (Stream(self.attr("N"), self.attr("PE"), f"INT{bits}"),)

    def parameters(self) -> dict[str, int | str]:
        return {"N": self.attr("N"), "PE": self.attr("PE"), "SHIFT": self.shift()}

    def tables(self, constants: list[Int64]) -> dict[str, Table]:
        base, drop = sampling.noise_table()
        low = 1 << sampling.BASE_BITS
        entries = (drop << sampling.BASE_BITS) | (base & (low - 1))
        return {"TABLE_FILE": Table(entries[:, None], sampling.BASE_BITS + sampling.DROP_BITS)}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        logits, request = inputs
        word = tags.number(request)
        wish = sampling.Sampling(word & (1 << 64) - 1, word >> 80)
        return (sampling.scores(logits, wish, word >> 64 & 0xFFFF, self.attr("StepBits")),)

    def latency(self) -> int:
        return timing.SAMPLER

    def cost(self, fpgapart: str) -> Cost:
        return costs.sampler(self.attr("PE"), sampling.score_bits(self.attr("StepBits")))


@register
class ArgMax(Block):
    """N scores and the token's tag in, the token with the largest score out."""

    MODULE = "argmax"
    ATTRIBUTES: ClassVar[Attributes] = integers("N", "PE", "Bits")
    FOLDING = ("PE",)

    def stream_inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.attr("N"), self.attr("PE"), f"INT{self.attr('Bits')}"), TAG)

    def stream_outputs(self) -> tuple[Stream, ...]:
        return (TOKEN,)

    def parameters(self) -> dict[str, int | str]:
        return {"N": self.attr("N"), "PE": self.attr("PE"), "W": self.attr("Bits")}

    def compute(self, *inputs: Int64) -> tuple[Any, ...]:
        scores, tag = inputs
        return (tags.record(tags.token(tags.number(tag), ops.argmax(scores)), TOKEN_BYTES),)

    def interval(self) -> int:
        return max(2, self.attr("N") // self.attr("PE"))

    def latency(self) -> int:
        return timing.argmax_latency(self.attr("PE"))

    def cost(self, fpgapart: str) -> Cost:
        return costs.argmax(self.attr("PE"), self.attr("Bits"))
