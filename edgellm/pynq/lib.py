"""Entry point `pynq.lib`: PYNQ imports this before it looks for devices and binds drivers.

`Overlay(...).accelerator` becomes an `Accelerator`, which says who it is; tokens come from `edgellm.load(model, "fpga")`. The
simulated board comes along as one more kind of device, which is there when EDGELLM_SIMULATED_BOARD names a design.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

from pynq import DefaultIP

from edgellm import registers
from edgellm.registers import Register, Status
from edgellm.sim import board as board


class Accelerator(DefaultIP):
    """The registers of an accelerator that is loaded; reading them changes nothing."""

    bindto = [registers.VLNV]  # noqa: RUF012  # PYNQ's way

    @property
    def build(self) -> int:
        """32 bits that name the design."""
        return int(self.read(Register.BUILD))

    @property
    def slots(self) -> int:
        """Answers that it can work on at the same time."""
        return int(self.read(Register.SLOTS))

    @property
    def status(self) -> Status:
        """What goes on, and bus errors."""
        return Status(int(self.read(Register.STATUS)))
