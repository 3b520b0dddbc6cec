"""From a quantised checkpoint to QONNX, through Brevitas' own exporter: what the FINN ecosystem reads.

Every weight keeps its name (`blocks.{i}.qkv.weight`, ..., `head.weight`, `embedding.weight`) and feeds a `Quant` node with
its scale. The metadata entry `edgellm` holds the shape, the shifts and the activation scales, in JSON.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.errors import ExportError
from edgellm.numerics import layout

SAMPLE_TOKENS = 4  # length of the exported graph's input; the weights are what counts


def export_qonnx(checkpoint: Path, path: Path) -> None:
    """Write the QONNX file of a `checkpoint/` folder that `edgellm distill` made.

    Raises: TrainingError (not a sound checkpoint), ExportError (the exporter lost a quantiser).
    """
    import onnx
    import torch
    from torch import nn

    from edgellm.train.distill import load_quantised

    model, about = load_quantised(Path(checkpoint))
    model.head.weight = nn.Parameter(
        model.head.weight.detach().clone()
    )  # two tensors in the file, one while training
    sample = torch.zeros(1, SAMPLE_TOKENS, dtype=torch.long)
    proto = onnx.load_from_string(_brevitas_export(model, sample))
    _name_weights(proto, model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = layout.METADATA_KEY, json.dumps(_settings(about))
    files.write_bytes(Path(path), proto.SerializeToString())


def _brevitas_export(model: Any, sample: Any) -> bytes:
    """The exporter of torch.onnx with dynamo drops Brevitas' quantisers, so the TorchScript one is asked for."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas.export import export_qonnx as brevitas_export

        place = Path(folder) / "model.onnx"
        brevitas_export(model, sample, export_path=str(place), dynamo=False)
        return place.read_bytes()


def _name_weights(proto: Any, model: Any) -> None:
    """Give the weight behind each Quant node its parameter's name, found by content; all must be there."""
    import numpy as np
    from onnx import numpy_helper

    names = {name: p.detach().numpy() for name, p in model.named_parameters() if name.endswith("weight")}
    tensors = {t.name: t for t in proto.graph.initializer}
    named: dict[str, str] = {}
    for node in proto.graph.node:
        if node.op_type != "Quant" or node.input[0] not in tensors or node.input[0] in named:
            continue
        source = node.input[0]
        value = numpy_helper.to_array(tensors[source])
        fits = [n for n, p in names.items() if n not in named.values() and np.array_equal(p, value)]
        if fits:
            named[source] = source if source in fits else fits[0]
    if lost := sorted(set(names) - set(named.values())):
        raise ExportError(
            f"the exported graph has no Quant node for {lost[0]}: check the versions of torch and brevitas"
        )
    for tensor in proto.graph.initializer:
        tensor.name = named.get(tensor.name, tensor.name)
    for node in proto.graph.node:
        node.input[:] = [named.get(name, name) for name in node.input]


def _settings(about: dict[str, Any]) -> dict[str, Any]:
    """The metadata entry, from the checkpoint's description."""
    from edgellm.train.model import ROPE_THETA
    from edgellm.train.scheme import Scheme

    scheme = Scheme(**about["scheme"])
    numerics = ("norm_shift", "score_mult", "score_shift", "glu_shift", "embed_shift")
    scales = ("q", "k", "v", "gate", "silu", "up", "residual", "logits", "embedding")
    return {
        "arch": {**about["arch"], "rope_theta": ROPE_THETA},
        "numerics": {name: getattr(scheme, name) for name in numerics},
        "shifts": scheme.shifts,
        "widths": dataclasses.asdict(scheme.widths),
        "scales": {
            "norm": scheme.norm(about["arch"]["width"]),
            **{name: getattr(scheme, name) for name in scales},
        },
    }
