"""Early stopping of an answer that goes round in circles."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 32  # tokens of a circle


def repeated(tokens: Sequence[int], times: int) -> bool:
    """Whether the answer ends with the same 1 to 32 tokens `times` times in a row."""
    for period in range(1, min(LONGEST, len(tokens) // times) + 1):
        start = len(tokens) - period * times
        if all(tokens[i] == tokens[i + period] for i in range(start, len(tokens) - period)):
            return True
    return False
