"""Checkpoints: tensors in safetensors, everything else in JSON, replaced atomically; nothing is ever unpickled.

The description is also inside the tensor file, whose one rename is the moment at which a save counts: a process killed
at any instant leaves the old checkpoint or the new one. about.json is the copy that people and other tools read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgellm import files
from edgellm.errors import TrainingError
from edgellm.numerics.model import Architecture

WEIGHTS, ABOUT = "weights.safetensors", "about.json"
TIED = "head.weight"  # stored once, as the embedding
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
    with _opened(folder) as file:
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
        return tensors, _about(file, folder)


def describe(folder: Path) -> dict[str, Any]:
    """The description alone; TrainingError as `load`."""
    with _opened(folder) as file:
        return _about(file, folder)


def mend(folder: Path) -> None:
    """After a process was killed while it saved: the readable copy follows the tensor file, and litter goes."""
    _sweep(folder)
    text = json.dumps(describe(folder), indent=2) + "\n"
    if not (folder / ABOUT).is_file() or (folder / ABOUT).read_text("utf-8") != text:
        files.write_text(folder / ABOUT, text)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        missing = Path(error.filename or WEIGHTS).name
        raise TrainingError(f"{folder}: not a checkpoint, {missing} is missing") from None
    except (ValueError, SafetensorError) as error:
        raise TrainingError(f"{folder}: damaged checkpoint ({error}): train the stage again") from error


def _about(file: Any, folder: Path) -> dict[str, Any]:
    """Of the tensor file; checkpoints of the first version have about.json alone."""
    inside = (file.metadata() or {}).get(ABOUT)
    about: dict[str, Any] = json.loads(inside or (folder / ABOUT).read_text("utf-8"))
    return about


def model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's part of a stage checkpoint."""
    return {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}


def fill(
    model: nn.Module, tensors: dict[str, Tensor], about: dict[str, Any], arch: Architecture, folder: Path
) -> None:
    """Load a model's tensors; TrainingError says which dimension is another than the recipe's."""
    stored = about.get("arch", {})
    for name, wanted in dataclasses.asdict(arch).items():
        if stored.get(name, wanted) != wanted:
            raise TrainingError(
                f"{folder}: the checkpoint does not fit the recipe's architecture: {name} is {stored[name]} there "
                f"and {wanted} in the recipe"
            )
    try:
        left_out, surplus = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise TrainingError(
            f"{folder}: the checkpoint does not fit the recipe's architecture: {error}"
        ) from error
    if wrong := [name for name in [*left_out, *surplus] if name != TIED]:
        raise TrainingError(f"{folder}: not a checkpoint of this model: {wrong[0]} is missing or too much")


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
