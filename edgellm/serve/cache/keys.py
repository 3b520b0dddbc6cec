"""Which orders have the same answer: the one place that says what of an order is part of it.

Tokens are a function of model, prompt and params (docs/numerics.md), so two orders with one key must be answered alike.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edgellm.runtime.choice import Rules
from edgellm.runtime.model import Model
from edgellm.runtime.params import FORMS, Params
from edgellm.serve.orders import Order

FORMAT = 1  # of keys, and of what is kept under them
# every field of Params is in one of these; a test says so
DRAWN = ("seed", "top_k", "top_p", "min_p")  # matter only where tokens are drawn
DECIDE = ("temperature", "logit_bias", "presence_penalty", "frequency_penalty", "least_confidence", *FORMS)
SHOWN = ("logprobs",)  # what comes with the tokens
READ = ("stop", "repeats")  # after which of them the reader has enough
LENGTH = ("max_tokens",)  # how many of them: `answers.Kept.cut`
APART = (
    "truncate",
    "speculate",
    "deadline",
    "priority",
)  # change none; the prompt is cut before it is an order
_GREEDY = Rules()

Canonical = tuple[Any, ...]


def canonical(params: Params) -> Canonical:
    """What params say of an answer, apart from its length; the same for params that mean the same. JSON-ready, hashable."""
    how, rules, form = params.sampling(), params.rules(), params.form()
    cuts = rules if how.temperature else _GREEDY
    return (
        how.temperature,
        how.seed if how.temperature else 0,
        cuts.top_k,
        _real(cuts.top_p),
        _real(cuts.min_p),
        tuple(sorted((token, _real(nats)) for token, nats in rules.logit_bias.items())),
        _real(rules.presence_penalty),
        _real(rules.frequency_penalty),
        _real(rules.least_confidence),
        None if form is None else (form.option, form.text),
        rules.logprobs,
        tuple(sorted(set(params.stop))),
        params.repeats,
    )


def _real(number: float) -> float:
    """1 and 1.0 are one number, and so are 0.0 and -0.0."""
    return float(number) + 0.0


class Keys:
    """Keys of one model's answers: another model, or another version of the contract, never finds them."""

    def __init__(self, model: Model, digest: str) -> None:
        """`digest`: of the model's files."""
        numerics, stop_ids = model.manifest.numerics_version, sorted(model.stop_ids)
        start = json.dumps([FORMAT, digest, numerics, stop_ids, model.context])
        self._start = hashlib.blake2b(start.encode(), digest_size=32)

    def of(self, order: Order) -> bytes:
        """32 bytes."""
        key = self._start.copy()
        key.update(json.dumps([order.prompt, canonical(order.params)]).encode())
        return key.digest()
