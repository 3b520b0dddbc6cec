"""A naive Bayes classifier of word pairs (after Wang and Manning 2012, ACL P12-2018): does a wording fit its intent?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

SMOOTHING = 0.1  # added to every count
EDGE = "."


class NaiveBayes:
    """Trained on (class, words); every class is taken as equally likely."""

    def __init__(self, examples: Iterable[tuple[str, Sequence[str]]]) -> None:
        self.lines: Counter[str] = Counter()
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # feature -> class -> lines
        for name, words in examples:
            self.lines[name] += 1
            for feature in features(words):
                self.counts[feature][name] += 1

    def knows(self, feature: str, name: str) -> bool:
        """Whether a line of class `name` had the feature."""
        return feature in self.counts and self.counts[feature][name] > 0

    def margin(self, name: str, words: Sequence[str]) -> float:
        """Log-odds in nats of class `name` against the likeliest other; features never seen say nothing."""
        scores = dict.fromkeys(self.lines, 0.0)
        for feature in features(words):
            if seen := self.counts.get(feature):
                for other in scores:
                    scores[other] += self._log_share(seen[other], self.lines[other])
        own = scores.pop(name)
        return own - max(scores.values(), default=-math.inf)

    def _log_share(self, count: int, lines: int) -> float:
        """Logarithm of the share of a class's lines that have a feature."""
        return math.log((count + SMOOTHING) / (lines + 1.0))


def features(words: Sequence[str]) -> set[str]:
    """Words, and neighbours in order, the edges included."""
    padded = [EDGE, *words, EDGE]
    return {*words, *(f"{one} {two}" for one, two in pairwise(padded))}
