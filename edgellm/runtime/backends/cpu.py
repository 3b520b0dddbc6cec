"""Back end `cpu`: the integer ONNX file in ONNX Runtime, one thread."""

from __future__ import annotations

from pathlib import Path

from edgellm.numerics import onnxfile
from edgellm.runtime.backends import ort
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.device import MODEL_FILE, Device

TARGET = ort.Target("cpu", (("CPUExecutionProvider", {}),))


def open_device(folder: Path, slots: int = ort.SLOTS) -> Device:
    """A device on a model folder. Raises: BackendUnavailable, ModelNotFound, ModelCorrupt, ModelUnsupported."""
    ort.runtime()
    path = folder / MODEL_FILE
    model = onnxfile.load(path)
    stepper = ort.OrtStepper(path.read_bytes(), model.arch, TARGET, slots, model.logit_step)
    return SteppedDevice(stepper, stepper.verify)
