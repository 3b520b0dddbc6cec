"""The host's choice of a token: biases, penalties, constraints, cuts of the distribution, then greedy or Gumbel-max.

Logits are the same integers on every back end and all of this is integer too, so the tokens are the same as well. Randomness is
the contract's (docs/numerics.md, "Sampling"): a function of seed, position and token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics import ops, sampling
from edgellm.numerics.sampling import Sampling
from edgellm.runtime import distribution
from edgellm.runtime.distribution import Kept, Logits

NEVER = np.int64(-(1 << 40))  # the logit of a token that is not allowed; below every other


class Constraint(Protocol):
    """What may come next, for example by a grammar."""

    def allowed(self, tokens: Sequence[int]) -> Kept | None:
        """bool [vocab] of what may follow the answer's tokens so far; None where the answer must end."""
        ...

    def forced(self, tokens: Sequence[int]) -> list[int]:
        """Tokens of which each is the only one allowed behind those before it; a stop id where the answer must end."""
        ...


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What the model thought of a token: natural logarithms of probabilities at temperature 1."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]  # the likeliest tokens, the first one first


@dataclass(frozen=True, slots=True)
class Rules:
    """How to choose. Nats are rounded to logit steps."""

    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # token -> nats
    presence_penalty: float = 0.0  # nats, for tokens of the answer so far
    frequency_penalty: float = 0.0  # nats for each time
    logprobs: int | None = None  # how many likeliest tokens to show
    least_confidence: float = 0.0  # end where the likeliest token is less probable than that

    @property
    def needed(self) -> bool:
        """Whether they say anything that a device does not do by itself."""
        return self != NO_RULES


NO_RULES = Rules()


class Chooser:
    """Chooses the tokens of one answer; callable as the engine wants it (`engine.Choose`).

    `seen` has what `Rules.logprobs` asks for, one entry a token; `ended` says why the chooser ended the answer, if it did.
    """

    def __init__(
        self,
        rules: Rules,
        how: Sampling,
        prompt_length: int,
        logit_step: float | None,
        constraint: Constraint | None = None,
    ) -> None:
        """Raises: ModelUnsupported for a logit step that cannot be sampled."""
        self._rules, self._how, self._prompt_length = rules, how, prompt_length
        self._step_bits = sampling.step_bits_of(logit_step)
        self._constraint = constraint
        self._bias = {token: self._steps(nats) for token, nats in rules.logit_bias.items()}
        self.seen: list[TokenInfo] = []
        self.ended: str | None = None

    def __call__(self, logits: NDArray[np.int16], tokens: Sequence[int]) -> Sequence[int] | None:
        """The token that follows, and those that must come behind it; None to end the answer."""
        del self.seen[len(tokens) :]
        raw = logits.astype(np.int64)
        if _too_flat(raw, self._rules.least_confidence, self._step_bits):
            self.ended = "confidence"
            return None
        wanted = self._biased(raw, tokens)
        if self._constraint is not None:
            allowed = self._constraint.allowed(tokens)
            if allowed is None:
                self.ended = "stop"
                return None
            wanted = np.where(allowed, wanted, NEVER)
        token = self._choose(wanted, self._prompt_length + len(tokens) - 1)
        if self._rules.logprobs is not None:
            self.seen.append(_info(raw, token, self._rules.logprobs, self._step_bits))
        return [token, *self._forced([*tokens, token])]

    def _forced(self, tokens: Sequence[int]) -> list[int]:
        """What needs no logits, unless they are to be looked at."""
        looked_at = self._rules.logprobs is not None or self._rules.least_confidence > 0
        return [] if self._constraint is None or looked_at else self._constraint.forced(tokens)

    def _steps(self, nats: float) -> int:
        return round(nats * (1 << self._step_bits))

    def _biased(self, logits: Logits, tokens: Sequence[int]) -> Logits:
        rules, biased = self._rules, logits.copy()
        for token, steps in self._bias.items():
            biased[token] += steps
        if rules.presence_penalty or rules.frequency_penalty:
            for token, count in Counter(tokens).items():
                biased[token] -= self._steps(rules.presence_penalty + rules.frequency_penalty * count)
        return biased

    def _choose(self, logits: Logits, position: int) -> int:
        how = self._how
        if how.temperature == 0:
            return ops.argmax(logits)
        scores = sampling.scores(logits, how, position, self._step_bits)
        return ops.argmax(np.where(self._kept(logits), scores, np.iinfo(np.int64).min))

    def _kept(self, logits: Logits) -> Kept:
        """Tokens that the cuts leave: first the count, then the share, then the distance, each of what the one before left."""
        rules, temperature = self._rules, self._how.temperature
        kept: Kept = logits > NEVER // 2
        if rules.top_k:
            kept &= distribution.top_k(logits, rules.top_k)
        if rules.top_p < 1:
            left = np.where(kept, distribution.weights(logits, temperature, self._step_bits), 0)
            kept &= distribution.top_p(left, rules.top_p)
        if rules.min_p:
            kept &= distribution.min_p(logits, rules.min_p, temperature, self._step_bits)
        return kept


def _too_flat(logits: Logits, least: float, step_bits: int) -> bool:
    """Whether the likeliest token is less probable than `least`."""
    return least > 0 and distribution.confidence(logits, step_bits) < least


def _info(logits: Logits, token: int, count: int, step_bits: int) -> TokenInfo:
    shares = distribution.log_probabilities(logits, step_bits)
    order = np.argsort(-logits, kind="stable")[:count]
    top = tuple((int(index), float(shares[index])) for index in order)
    return TokenInfo(token, float(shares[token]), top)
