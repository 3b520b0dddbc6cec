"""How the CPU computes in everything that trains or measures with torch."""

from __future__ import annotations

import torch


def set_threads(count: int = 1) -> None:
    """Use `count` threads (with one, sums have one order: the same numbers every time), and take denormal numbers for 0.

    A model that is sure of its answers has gradients below 1e-38; computing with those takes a CPU tens of times as long.
    """
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)
