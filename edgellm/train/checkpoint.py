"""Checkpoints: tensors in safetensors, everything else in JSON, both replaced atomically; nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from edgellm import files
from edgellm.errors import TrainingError

WEIGHTS, ABOUT = "weights.safetensors", "about.json"


def save(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write a checkpoint folder as a whole: after a crash the old one or the new one is there."""
    from safetensors.torch import save as to_bytes

    unique: dict[int, str] = {}
    plain = {}
    for name, tensor in tensors.items():
        if unique.setdefault(tensor.data_ptr(), name) == name or tensor.numel() == 0:  # tied weights once
            plain[name] = tensor.detach().contiguous()
    with files.new_directory(folder, replace=True) as work:
        files.write_bytes(work / WEIGHTS, to_bytes(plain))
        files.write_text(work / ABOUT, json.dumps(about, indent=2) + "\n")


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description; TrainingError when the folder is not a sound checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        return load_file(folder / WEIGHTS), about
    except FileNotFoundError as error:
        raise TrainingError(f"{folder}: not a checkpoint, {Path(error.filename).name} is missing") from None
    except (ValueError, SafetensorError) as error:
        raise TrainingError(f"{folder}: damaged checkpoint ({error}): train the stage again") from error
