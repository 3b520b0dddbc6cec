"""What a benchmark is to measure: every combination of batch and prompt length, so many tokens, so many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from edgellm.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """`batch` prompts of `prompt` tokens each, submitted at once; `tokens` are generated for each."""

    batch: int
    prompt: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All cases; every one is measured `repeats` times, in turn with the others."""

    batches: Sequence[int] = (1, 8)
    prompts: Sequence[int] = (16, 64)
    tokens: int = 64
    repeats: int = 5

    def __post_init__(self) -> None:
        for name, values in {"batch": self.batches, "prompt": self.prompts}.items():
            if not values or min(values) < 1:
                raise UsageError(
                    f"--{name} is {','.join(map(str, values)) or 'empty'}: give numbers from 1 on"
                )
        if self.tokens < 2:
            raise UsageError(f"--tokens is {self.tokens}: a latency between tokens takes at least 2")
        if self.repeats < 1:
            raise UsageError(f"--repeats is {self.repeats}: measure at least once")

    def cases(self, context: int) -> Iterator[Case]:
        """The cases; UsageError for one that a context of so many positions cannot hold."""
        for batch, prompt in product(sorted(set(self.batches)), sorted(set(self.prompts))):
            if prompt + self.tokens > context + 1:
                raise UsageError(
                    f"{prompt} tokens of prompt and {self.tokens} generated ones do not fit in the model's "
                    f"context of {context}: lower --prompt or --tokens"
                )
            yield Case(batch, prompt, self.tokens)
