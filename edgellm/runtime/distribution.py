"""The distribution that logits stand for, in integers: weights of a softmax, and which tokens stay when it is cut.

A host's floating point is not the same everywhere (libm, FMA, order of sums), and a token on the edge of a cut would be another
one. So everything that decides is an integer; the only real numbers, exp and ln, are of `decimal`, which rounds correctly on
every platform.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgellm.numerics.sampling import TEMPERATURE_STEPS

BITS = 30  # of a weight: the likeliest token has 2^30
FINE_BITS = 10  # of a distance in logit steps: a weight is the product of two entries
_GUARD = 98  # more bits while powers are multiplied up
_CONTEXT = Context(prec=60)

Logits = NDArray[np.int64]
Kept = NDArray[np.bool_]


@lru_cache(64)
def weight_tables(temperature: int, step_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Powers of exp(-step/T), step 2^-step_bits nats: int64 for 0, 1024, 2048, ... steps until they are 0, and for 0 to 1023."""
    with localcontext(_CONTEXT):
        exponent = -Decimal(TEMPERATURE_STEPS) / temperature / (1 << step_bits)
        step, leap = exponent.exp(), (exponent * (1 << FINE_BITS)).exp()
    return _powers(leap, None), _powers(step, 1 << FINE_BITS)


def _powers(ratio: Decimal, count: int | None) -> NDArray[np.int64]:
    """1, ratio, ratio^2, ... times 2^BITS, rounded: `count` of them, or all that do not round to 0, and a 0."""
    with localcontext(_CONTEXT):
        factor = int(ratio * (1 << (BITS + _GUARD)))
    powers: list[int] = []
    power = 1 << (BITS + _GUARD)
    while len(powers) != count and (count or power >> (_GUARD - 1)):
        powers.append((power + (1 << (_GUARD - 1))) >> _GUARD)
        power = power * factor >> (BITS + _GUARD)
    return np.array(powers if count else [*powers, 0], np.int64)


def weights(logits: Logits, temperature: int, step_bits: int) -> NDArray[np.int64]:
    """Unnormalised probabilities int64 [vocab], 2^30 at the largest logit."""
    coarse, fine = weight_tables(temperature, step_bits)
    below = logits.max() - logits
    leaps = np.minimum(below >> FINE_BITS, len(coarse) - 1)
    product = coarse[leaps] * fine[below & ((1 << FINE_BITS) - 1)]
    found: NDArray[np.int64] = product + (1 << (BITS - 1)) >> BITS
    return found


def top_k(logits: Logits, count: int) -> Kept:
    """The `count` largest; of equal ones the lower indices."""
    kept = np.zeros(len(logits), np.bool_)
    kept[np.argsort(-logits, kind="stable")[:count]] = True
    return kept


def top_p(likely: NDArray[np.int64], share: float) -> Kept:
    """The fewest likeliest tokens that have this share of all weights together (Holtzman et al. 2020, nucleus sampling)."""
    order = np.argsort(-likely, kind="stable")
    reached = np.cumsum(likely[order])
    wanted = -(-int(share * (1 << BITS)) * int(reached[-1]) >> BITS)  # rounded up
    kept = np.zeros(len(likely), np.bool_)
    kept[order[: int(np.searchsorted(reached, wanted)) + 1]] = True
    return kept


def min_p(logits: Logits, share: float, temperature: int, step_bits: int) -> Kept:
    """Tokens at least `share` times as likely as the likeliest."""
    with localcontext(_CONTEXT):
        steps = -Decimal(share).ln() * temperature * (1 << step_bits) / TEMPERATURE_STEPS
    kept: Kept = logits.max() - logits <= int(steps)
    return kept


def confidence(logits: Logits, step_bits: int) -> float:
    """Probability of the likeliest token at temperature 1, to 2^-30."""
    likely = weights(logits, TEMPERATURE_STEPS, step_bits)
    return float((1 << (2 * BITS)) // int(likely.sum())) / (1 << BITS)


def log_probabilities(logits: Logits, step_bits: int) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities at temperature 1, float64 [vocab]; to be shown, not to decide by."""
    real = (logits - logits.max()).astype(np.float64) / (1 << step_bits)
    shares: NDArray[np.float64] = real - np.log(np.exp(real).sum())
    return shares
