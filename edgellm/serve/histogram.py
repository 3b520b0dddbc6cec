"""Histograms that cost a fraction of a microsecond an observation; prometheus_client's take a lock and a loop over buckets.

For one thread, that of the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

# s: 1, 2.5 and 5 of every power of ten from 10 us to 50 s, and 100 s
SECONDS = (*(float(f"{digit}e{power}") for power in range(-5, 2) for digit in ("1", "2.5", "5")), 100.0)
TOKENS = tuple(float(1 << power) for power in range(13))


class Histogram:
    """Counts of values in buckets."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: the largest value of each bucket, rising; one more takes the rest."""
        self._bounds, self._counts, self._sum = tuple(bounds), [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """So many equal values."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """For the exposition."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(self._counts), strict=True)), self._sum)
