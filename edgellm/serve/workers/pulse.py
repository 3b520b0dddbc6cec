"""Whether a worker's process is stuck. Counted in beats and not by the clock: a service that slept does not blame its workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that things may take before the process is killed."""

    start: float = 120.0  # to load the model
    beat: float = 0.5  # between two questions how it is
    silence: float = 5.0  # without a word from it
    hang: float = 30.0  # without a round of its engine, while answers have slots
    close: float = 5.0  # to go when asked, or when killed


PATIENCE = Patience()


class Pulse:
    """Counts beats without a sign of life."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._silent = self._still = 0
        self._turns = -1

    def heard(self) -> None:
        """Something came."""
        self._silent = 0

    def told(self, running: int, turns: int) -> None:
        """An answer to a beat: so many answers have slots, and so many rounds of the engine have been."""
        self._still = self._still + 1 if running and turns == self._turns else 0
        self._turns = turns

    def beat(self) -> str | None:
        """Another beat has passed: why the process must be stuck, if it must."""
        self._silent += 1
        patience = self._patience
        if (self._silent - 1) * patience.beat >= patience.silence:
            return f"it said nothing for {patience.silence:g} s"
        if self._still * patience.beat >= patience.hang:
            return f"its engine stood still for {patience.hang:g} s"
        return None
