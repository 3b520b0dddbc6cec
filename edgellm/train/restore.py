"""Trained models back from their checkpoints."""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import TrainingError
from edgellm.numerics.model import Architecture
from edgellm.train import checkpoint
from edgellm.train.bits import Bits
from edgellm.train.model import Decoder
from edgellm.train.quant import QuantDecoder
from edgellm.train.scheme import Scheme


def load_float(folder: Path, arch: Architecture) -> Decoder:
    """A float stage's model, on the CPU. Raises: TrainingError when it is not of this architecture."""
    tensors, about = checkpoint.load(folder)
    model = Decoder(arch)
    checkpoint.fill(model, checkpoint.model_tensors(tensors), about, arch, folder)
    return model


def load_quantised(folder: Path) -> tuple[QuantDecoder, dict[str, object]]:
    """The QAT model of a final `checkpoint/` folder, ready to run, and its description."""
    tensors, about = checkpoint.load(folder)
    try:
        arch, scheme = Architecture(**about["arch"]), Scheme(**about["scheme"])
        model = QuantDecoder(arch, scheme, Bits(**about["bits"]))
        left_out = model.load_state_dict(tensors, strict=False).missing_keys
    except (KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{folder}: not a quantised checkpoint: {error}") from error
    if wrong := [key for key in left_out if key != checkpoint.TIED]:
        raise TrainingError(f"{folder}: not a quantised checkpoint: {wrong[0]} is missing")
    return model.eval(), about
