"""What an accelerator is to be good at, what a board gives it, and what it is before it is folded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgellm.compiler import estimate
from edgellm.compiler.boards import Board
from edgellm.compiler.costs import RESOURCES, Cost
from edgellm.compiler.estimate import Design
from edgellm.errors import UsageError
from edgellm.numerics import sampling
from edgellm.numerics.model import Architecture, IntegerModel

NAMES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "uram": "URAM"}
# Of the board. LUTs and flip-flops also carry FIFOs and width converters, which the search does not count, and routing
# suffers first from full LUTs; multipliers and memories sit in columns of their own. FIFOs take no block RAM, and it is
# the keys and values of eight slots that need the share: deep memories with registered outputs and one reader each.
SHARE = {"lut": 0.8, "ff": 0.8, "dsp": 0.95, "bram18": 0.95, "uram": 0.95}
TOKENS = 8  # in flight in the loop
SLOTS = (8, 7, 6, 5, 4, 3, 2, 1)  # the most that fits is taken
MAX_SLOTS = 16  # the tag of a copy names its source in 4 bits
REFERENCE = 4  # cycles are compared at a quarter of the context: commands and their answers are short

CLOCKS = range(1, 1001)  # MHz

Limits = dict[str, int]  # resource, by the names of Cost, -> how many may be used


class Objective(str, Enum):
    """What a folding is chosen for, at the reference position; ties go to the other one, then to fewer resources."""

    LATENCY = "latency"  # cycles from one token to the next of a single stream
    THROUGHPUT = "throughput"  # cycles a token with all slots busy


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of the compiler; None leaves the choice to it.

    Throughput is the default because it gives up little: its ties are broken by latency, while the folding of least
    latency puts its multipliers where one stream waits and leaves some idle when there are many.
    """

    objective: Objective = Objective.THROUGHPUT
    slots: int | None = None
    clock_mhz: int | None = None

    def __post_init__(self) -> None:
        if self.slots is not None and not 1 <= self.slots <= MAX_SLOTS:
            raise UsageError(f"slots is {self.slots}: an accelerator has 1 to {MAX_SLOTS} slots")
        if self.clock_mhz is not None and self.clock_mhz not in CLOCKS:
            raise UsageError(f"clock is {self.clock_mhz} MHz: must be {CLOCKS[0]} to {CLOCKS[-1]}")


def capacity(board: Board) -> Limits:
    """What the board has."""
    counts = (board.lut, board.ff, board.dsps, board.bram18, board.uram)
    return dict(zip(RESOURCES, counts, strict=True))


def limits(board: Board) -> Limits:
    """What a folding may use of the board."""
    return {name: int(have * SHARE[name]) for name, have in capacity(board).items()}


def design_of(model: IntegerModel, board: Board, slots: int) -> Design:
    """What the estimates need to know; keys and values go to UltraRAM where there is some."""
    step_bits = sampling.step_bits_of(model.logit_step)
    return Design(model.arch, estimate.widths(model), board.dsp, slots, TOKENS, board.uram > 0, step_bits)


def reference(arch: Architecture) -> int:
    """Position at which cycles are compared."""
    return arch.context // REFERENCE


def short(cost: Cost, have: Limits) -> list[str]:
    """The resources of which there are too few."""
    return [name for name in RESOURCES if getattr(cost, name) > have[name]]
