"""How the CPU computes in everything that trains or measures with torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

DENORMAL = 2e-38  # half of it is one


@contextlib.contextmanager
def computing(threads: int = 1) -> Iterator[None]:
    """Use `threads` threads (with one, sums have one order: the same numbers every time), and take denormal numbers for 0.

    A model that is sure of its answers has gradients below 1e-38; computing with those takes a CPU several times as
    long. Both settings are the process's (the second one this thread's) and are put back at the end.
    """
    before = torch.get_num_threads(), flushes()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_flush_denormal(before[1])


def flushes() -> bool:
    """Whether denormal numbers are taken for 0 now."""
    return not bool((torch.full((16,), DENORMAL) * 0.5).any())
