"""What the data pipelines ask of a language model that writes text; `edgellm.train.sampling.Writer` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Drawn(NamedTuple):
    """One sampled text."""

    text: str
    log_likelihood: float  # mean over its tokens, in nats, at temperature 1
    finished: bool  # ended by itself, not by the token limit


class TextModel(Protocol):
    """Samples continuations of a prompt and scores texts after a prompt; the same arguments give the same answer."""

    def describe(self) -> dict[str, object]:
        """What provenance records: name, sha256, sampling, library versions."""
        ...

    def sample(self, prompt: str, count: int, seed: int) -> list[Drawn]:
        """`count` continuations of the prompt."""
        ...

    def score(self, prompt: str, texts: Sequence[str]) -> list[float]:
        """Log-likelihood of each text after the prompt, in nats, summed over its tokens."""
        ...
