"""Back end `fpga`: the accelerator on a board, driven over PYNQ.

design   what the design folder says      board    PYNQ's devices, the overlay, checks, the clock
rings    the three rings in memory        waiting  interrupts, polling, and when to lose patience
link     all of it as a `streamed.Link`
"""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import BackendUnavailable, BundleError
from edgellm.numerics import onnxfile
from edgellm.runtime.backends.fpga import board, link
from edgellm.runtime.backends.fpga import design as designs
from edgellm.runtime.backends.fpga.waiting import DEFAULT, Patience
from edgellm.runtime.backends.streamed import StreamedDevice
from edgellm.runtime.device import MODEL_FILE, Device

NAME = "fpga"


def open_device(folder: Path, patience: Patience = DEFAULT) -> Device:
    """The board with the bitstream beside a model folder.

    Raises: BackendUnavailable (no PYNQ, board or bitstream, or files that do not belong together), BackendFailed (a board that
    does not do as it should), ModelNotFound, ModelCorrupt.
    """
    model = onnxfile.load(folder / MODEL_FILE)
    try:
        design = designs.find(folder)
        accelerator = board.load(design)
    except BundleError as error:
        raise BackendUnavailable(str(error)) from error
    return StreamedDevice(
        NAME, link.connect(accelerator, patience), model.arch, model.logit_step, design.slots
    )
