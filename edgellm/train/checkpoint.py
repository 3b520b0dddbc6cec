"""Checkpoints: tensors in safetensors, everything else in JSON, replaced atomically; nothing is ever unpickled.

The description is also inside the tensor file, whose one rename is the moment at which a save counts: a process killed
at any instant leaves the old checkpoint or the new one. about.json is the copy that people and other tools read.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from edgellm import files
from edgellm.errors import TrainingError

WEIGHTS, ABOUT = "weights.safetensors", "about.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def save(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write a checkpoint folder; tensors that share memory are stored once.

    Raises: OSError when the disk does not take it; the checkpoint that was there stays.
    """
    from safetensors.torch import save as to_bytes

    unique: dict[int, str] = {}
    plain = {}
    for name, tensor in tensors.items():
        if unique.setdefault(tensor.data_ptr(), name) == name or tensor.numel() == 0:  # tied weights once
            plain[name] = tensor.detach().cpu().contiguous()
    text = json.dumps(about, indent=2) + "\n"
    _sweep(folder)
    files.write_bytes(folder / WEIGHTS, to_bytes(plain, {ABOUT: text}))
    files.write_text(folder / ABOUT, text)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description; TrainingError when the folder is not a sound checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            inside = (file.metadata() or {}).get(ABOUT)
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        return tensors, json.loads(inside or (folder / ABOUT).read_text("utf-8"))
    except FileNotFoundError as error:
        missing = Path(error.filename or WEIGHTS).name
        raise TrainingError(f"{folder}: not a checkpoint, {missing} is missing") from None
    except (ValueError, SafetensorError) as error:
        raise TrainingError(f"{folder}: damaged checkpoint ({error}): train the stage again") from error


def exists(folder: Path) -> bool:
    """Whether a checkpoint was ever saved in `folder`."""
    return (folder / WEIGHTS).is_file()


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """A disk that is full becomes a TrainingError that says what was kept and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise TrainingError(
            f"{folder}: the disk takes no more ({error.strerror}); everything saved before is kept: "
            "make room there, then go on with --resume"
        ) from error


def _sweep(folder: Path) -> None:
    """Remove what killed saves left half-written."""
    for name in (WEIGHTS, ABOUT):
        for path in folder.glob(f".{name}.*"):
            path.unlink(missing_ok=True)
