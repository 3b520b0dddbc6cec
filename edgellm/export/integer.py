"""From a training checkpoint to a model folder: QONNX, integer ONNX, tokenizer, manifest."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from edgellm import files, manifest
from edgellm._version import __version__
from edgellm.errors import ExportError
from edgellm.export import card
from edgellm.export.from_qonnx import from_qonnx
from edgellm.export.graph import build_onnx, numerics_version
from edgellm.manifest import Manifest, Prompt
from edgellm.numerics import onnxfile
from edgellm.numerics.model import IntegerModel

__all__ = ["build_onnx", "export_model", "from_qonnx", "write_folder"]

MODEL, QONNX, TOKENIZER, METRICS = "model.onnx", "model.qonnx.onnx", "tokenizer.json", "metrics.json"
ABOUT = "about.json"
PROVENANCE = ("seed", "tokens", "bits")  # of about.json
STOP_TOKEN = "</s>"
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Usage:
    """How a prompt is put to the model, and on what terms it is given away; the home models' unless said."""

    prompt: Prompt = field(default_factory=Prompt)
    licence: str = LICENCE


def export_model(checkpoint: Path, out: Path, name: str | None = None, description: str = "") -> IntegerModel:
    """Write the model folder of a `checkpoint/` folder that `edgellm distill` made.

    Name, description, seed, token counts and framing come from its about.json unless given, metrics from the metrics.json
    in it or beside it. Other files in `out` stay. Raises ExportError, TrainingError (the checkpoint cannot
    be read) or ModelUnsupported.
    """
    from edgellm.export.qonnx import export_qonnx

    checkpoint, out = Path(checkpoint), Path(out)
    tokenizer = checkpoint / TOKENIZER
    if not tokenizer.is_file():
        raise ExportError(f"{tokenizer}: not found; a checkpoint folder holds its tokenizer")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export.", dir=out) as work:
        folder = Path(work)
        export_qonnx(checkpoint, folder / QONNX)
        model = from_qonnx(folder / QONNX)
        shutil.copyfile(tokenizer, folder / TOKENIZER)
        about = _json(checkpoint / ABOUT)
        write_folder(
            folder,
            model,
            name or about.get("name") or out.resolve().name,
            description or about.get("description") or "",
            _json(checkpoint / METRICS) or _json(checkpoint.parent / METRICS),
            {key: about[key] for key in PROVENANCE if key in about} | {"checkpoint": _digests(checkpoint)},
            _usage(about, checkpoint / ABOUT),
        )
        files.write_text(folder / card.NAME, card.render(manifest.read(folder), about))
        _move(folder, out)
    return model


def write_folder(
    folder: Path,
    model: IntegerModel,
    name: str,
    description: str = "",
    metrics: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    usage: Usage | None = None,
) -> None:
    """Write model.onnx and manifest.json beside the tokenizer.json (and anything else) already in `folder`."""
    proto = build_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString()
    onnxfile.loads(data, MODEL)
    files.write_bytes(folder / MODEL, data)
    usage = usage or Usage()
    names = [entry for entry in (MODEL, QONNX, TOKENIZER) if (folder / entry).is_file()]
    described = Manifest(
        name=name,
        description=description or _describe(model),
        files={entry: manifest.describe(folder / entry) for entry in names},
        stop_ids=(_stop_id(folder / TOKENIZER),),
        arch=dataclasses.asdict(model.arch),
        prompt=usage.prompt,
        metrics=metrics or {},
        licence=usage.licence,
        provenance={"edgellm": __version__, **(provenance or {})},
        numerics_version=numerics_version(model),
    )
    manifest.write(folder, described)


def _move(folder: Path, out: Path) -> None:
    """The manifest last: until it is there, its checksums tell that the folder is not complete."""
    for name in (QONNX, TOKENIZER, MODEL, card.NAME, manifest.FILE):
        os.replace(folder / name, out / name)


def _stop_id(tokenizer: Path) -> int:
    try:
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
        return next(int(t["id"]) for t in content["added_tokens"] if t["content"] == STOP_TOKEN)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        raise ExportError(f"{tokenizer}: no added token {STOP_TOKEN!r}, so answers would not end") from None


def _usage(about: dict[str, Any], path: Path) -> Usage:
    """Of a checkpoint that was trained on someone's own corpus, what its about.json says."""
    if "prompt" not in about:
        return Usage()
    try:
        framing, licence = about["prompt"], about["licence"]
        return Usage(Prompt(str(framing["template"]), tuple(map(str, framing["normalise"]))), str(licence))
    except (KeyError, TypeError):
        raise ExportError(f"{path}: prompt must hold template and normalise, and licence be there") from None


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ExportError(f"{path}: not valid JSON") from None
    if not isinstance(content, dict):
        raise ExportError(f"{path}: must hold a JSON object")
    return content


def _digests(checkpoint: Path) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in sorted(checkpoint.glob("*.safetensors"))}


def _describe(model: IntegerModel) -> str:
    a = model.arch
    return f"{a.layers} layers, width {a.width}, vocabulary {a.vocab}, context {a.context}"
