"""Back end `cuda`: the integer ONNX file in ONNX Runtime on an NVIDIA GPU, caches in its memory."""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import BackendUnavailable, ToolMissing
from edgellm.numerics import onnxfile
from edgellm.runtime.backends import ort
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.device import MODEL_FILE, Device

PROVIDER = "CUDAExecutionProvider"
# integers in float32 stay exact in full float32 products only; operators without a kernel there go to the CPU
OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT", "do_copy_in_default_stream": "1"}
TARGET = ort.Target("cuda", ((PROVIDER, OPTIONS), ("CPUExecutionProvider", {})), "cuda")


def check() -> None:
    """Raise ToolMissing unless the installed ONNX Runtime can use a GPU."""
    try:
        providers = ort.runtime().get_available_providers()
    except BackendUnavailable:
        providers = []
    if PROVIDER not in providers:
        raise ToolMissing(f"ONNX Runtime has no {PROVIDER} here: pip install onnxruntime-gpu")


def open_device(folder: Path, slots: int = ort.SLOTS) -> Device:
    """A device on a model folder. Raises: BackendUnavailable, ModelNotFound, ModelCorrupt, ModelUnsupported."""
    try:
        check()
    except ToolMissing as error:
        raise BackendUnavailable(str(error)) from None
    path = folder / MODEL_FILE
    model = onnxfile.load(path)
    return SteppedDevice(ort.OrtStepper(path.read_bytes(), model.arch, TARGET, slots, model.logit_step))
