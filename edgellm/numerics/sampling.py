"""Seeded sampling in integers: the Gumbel-max trick on a counter-based generator.

`argmax(logit / T + G)` with independent Gumbel numbers G is a draw from softmax(logit / T) (Gumbel 1954; Maddison et al. 2014).
The numbers are a function of (seed, position, token) alone, so batches, prefix caches and back ends cannot change a
text. Source: docs/numerics.md, "Sampling".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import ModelUnsupported, UsageError
from edgellm.numerics import ops
from edgellm.numerics.model import Int

ROUNDS = 13
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
FRACTION_BITS = 4  # of a random word behind its leading one: the table's index
RAMP_BITS = 8  # behind those: where between two entries
OCTAVES = 32
BASE_BITS, DROP_BITS = 16, 10  # of a table entry
NOISE_STEPS = 1024  # a nat
SPARE_BITS = 4  # of a score below one logit step
TEMPERATURE_STEPS = 4096  # of temperature 1
MAX_TEMPERATURE = 65535  # in those steps: just below 16
DEFAULT_STEP = 2.0**-8
STEP_BITS = (1, 14)  # logit steps of 2^-14 to 2^-1 nats

Word = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose among logits. `temperature` in steps of 1/4096; 0 is greedy, whatever the seed."""

    seed: int = 0  # 64 bits
    temperature: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"seed {self.seed} must be 0 to 2^64 - 1")
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            top = MAX_TEMPERATURE / TEMPERATURE_STEPS
            raise UsageError(f"temperature {self.temperature / TEMPERATURE_STEPS:g} must be 0 to {top:.4f}")

    @classmethod
    def of(cls, seed: int, temperature: float) -> Sampling:
        """From a real temperature, to the nearest step."""
        return cls(seed, round(temperature * TEMPERATURE_STEPS))


GREEDY = Sampling()


def threefry(key: tuple[int, int], counter: tuple[Word, Word]) -> tuple[Word, Word]:
    """Threefry-2x32 of 13 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")."""
    keys = [np.uint32(word) for word in (*key, PARITY ^ key[0] ^ key[1])]
    with np.errstate(over="ignore"):
        x, y = counter[0] + keys[0], counter[1] + keys[1]
        for number in range(ROUNDS):
            turn = ROTATIONS[number % 8]
            x = x + y
            y = (y << np.uint32(turn) | y >> np.uint32(32 - turn)) ^ x
            group, place = divmod(number + 1, 4)
            if place == 0:
                x = x + keys[group % 3]
                y = y + keys[(group + 1) % 3] + np.uint32(group)
    return x, y


def random_words(seed: int, position: int, count: int) -> Word:
    """uint32 [count]: one for each token of the vocabulary; two neighbours share a block of the generator."""
    blocks = np.arange((count + 1) // 2, dtype=np.uint32)
    pair = threefry((seed & 0xFFFFFFFF, seed >> 32), (np.full_like(blocks, position), blocks))
    return np.stack(pair, 1).reshape(-1)[:count]


@cache
def noise_table() -> tuple[Int, Int]:
    """(base, drop) int64 [32 * 16]: Gumbel noise at the start of each bucket, and how much it falls inside, in NOISE_STEPS.

    A bucket is a range of V = (word | 1) / 2^32, by leading zeros and the 4 bits behind the leading one; in it G = -ln(-ln(1 -
    V)) falls nearly straight. The bucket of the lowest noise, which has no end, falls so far that its mean is right.
    """
    size = 1 << FRACTION_BITS
    octave, fraction = np.divmod(np.arange(OCTAVES * size), size)
    low = (1 + fraction / size) * 2.0 ** -(octave + 1)
    high = (1 + (fraction + 1) / size) * 2.0 ** -(octave + 1)
    high[size - 1] = np.nan
    start, end = (-np.log(-np.log1p(-v)) * NOISE_STEPS for v in (low, high))
    end[size - 1] = 2 * _lowest_mean(1 - low[size - 1]) * NOISE_STEPS - start[size - 1]
    base = np.rint(start).astype(np.int64)
    return base, np.minimum(base - np.rint(end).astype(np.int64), (1 << DROP_BITS) - 1)


def _lowest_mean(share: float) -> float:
    """Mean of Gumbel noise among its lowest `share`, by the middle rule."""
    points = 1 << 14  # 2^20 and 2^12 give the same table
    below = (np.arange(points) + 0.5) / points * share
    return float(-np.log(-np.log(below)).mean())


def noise(words: Word) -> Int:
    """Gumbel noise int64, in NOISE_STEPS a nat, of random words."""
    base, drop = noise_table()
    wide = words.astype(np.uint64) | np.uint64(1)  # so that there is a leading one
    octave = 31 - np.floor(np.log2(wide.astype(np.float64))).astype(np.int64)
    behind = (wide << (octave + 1).astype(np.uint64)) & np.uint64(0xFFFFFFFF)
    fraction = (behind >> np.uint64(32 - FRACTION_BITS)).astype(np.int64)
    ramp = (behind >> np.uint64(32 - FRACTION_BITS - RAMP_BITS)).astype(np.int64) & ((1 << RAMP_BITS) - 1)
    index = octave << FRACTION_BITS | fraction
    found: Int = base[index] - (drop[index] * ramp >> RAMP_BITS)
    return found


def shift_of(step_bits: int) -> int:
    """Right shift of noise times temperature that gives a score, for logit steps of 2^-step_bits nats."""
    if not STEP_BITS[0] <= step_bits <= STEP_BITS[1]:
        low, high = STEP_BITS
        raise ModelUnsupported(f"a logit step of 2^-{step_bits} nats: sampling needs 2^-{high} to 2^-{low}")
    return 22 - SPARE_BITS - step_bits


def score_bits(step_bits: int) -> int:
    """Bits of a signed score, whatever the request."""
    shaken = 16 + 1 + 16
    return max(shaken - shift_of(step_bits), 16 + SPARE_BITS) + 1


def step_bits_of(step: float | None) -> int:
    """From the model file's logit step, a power of two; files without one count as 2^-8.

    Raises: ModelUnsupported for a step that is no power of two or too far from 1.
    """
    mantissa, exponent = math.frexp(DEFAULT_STEP if step is None else step)
    if mantissa != 0.5:
        raise ModelUnsupported(f"the logit step {step} is no power of two: export the model again")
    bits = 1 - exponent
    shift_of(bits)
    return bits


def scores(logits: Int, sampling: Sampling, position: int, step_bits: int) -> Int:
    """int64 [vocab]: what is compared; logits int16 with steps of 2^-step_bits nats."""
    shift = shift_of(step_bits)
    shaken = noise(random_words(sampling.seed, position, len(logits))) * sampling.temperature
    return (logits.astype(np.int64) << SPARE_BITS) + (shaken + (1 << (shift - 1)) >> shift)


def chooser(sampling: Sampling, step: float | None) -> Callable[[Int, int], int]:
    """The choice of a request: (logits int16 [vocab], position) -> token; `step` is the model's logit step.

    Raises: ModelUnsupported where noise is wanted and the step does not allow it.
    """
    if sampling.temperature == 0:
        return lambda logits, _: ops.argmax(logits)
    step_bits = step_bits_of(step)
    return lambda logits, position: choose(logits, sampling, position, step_bits)


def choose(logits: Int, sampling: Sampling, position: int, step_bits: int) -> int:
    """The token: the lowest index with the largest score."""
    return ops.argmax(scores(logits, sampling, position, step_bits))
